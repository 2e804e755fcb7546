"""The microscope on small steps: what is a birth, what is not, and where in the source it is put."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from whynan.replay.births import birth_from, path_from
from whynan.replay.reevaluate import NotRepeatable, reevaluate
from whynan.replay.scope import Scope

HERE = __file__
INF = math.inf


def observe(step, roots=None, **options):
    with Scope(is_user_file=lambda file: file == HERE, roots=roots and (lambda: roots), **options) as scope:
        result = step()
    assert scope.trace.errors == []
    return scope.trace, result


def find(step, roots=None):
    trace, result = observe(step, roots)
    return trace.births_reaching(result), trace


def line(text):
    """Number of the only line of this file that ends with `# <text>`."""
    with open(HERE) as file:
        found = [n for n, content in enumerate(file, 1) if content.rstrip().endswith("# " + text)]
    assert len(found) == 1
    return found[0]


# -- births and what only looks like one


def test_a_healthy_step_gives_no_birth():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        loss = model(torch.randn(5, 4)).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    finding, trace = find(step, {"": model})
    assert (finding.birth, finding.source, finding.state) == (None, None, "finite")
    assert not list(trace.bad_records())
    assert {"forward", "backward", "optimizer"} <= {r.phase for r in trace.records}


def test_a_partial_mask_is_no_birth():
    def step():
        scores = torch.randn(3, 4).masked_fill(torch.eye(3, 4).bool(), -INF)
        return torch.softmax(scores, -1).sum()

    finding, trace = find(step)
    assert finding.state == "finite"
    states = {r.plan.base: r.state for r in trace.records}
    assert states["masked_fill"] == "placed" and states["_softmax"] == "absorbed"


def test_a_fully_masked_row_is_a_birth_and_says_which_row():
    def step():
        mask = torch.zeros(3, 4, dtype=torch.bool)
        mask[1] = True
        mask[0, 2] = True
        scores = torch.randn(3, 4).masked_fill(mask, -INF)
        return torch.softmax(scores, -1).sum()

    finding, trace = find(step)
    assert finding.birth.op == "aten::_softmax" and finding.kind == "nan"
    assert finding.elements.count == 4 and {i[0] for i in finding.elements.first} == {1}
    assert birth_from(finding, trace, 0, 0, batch_size=3).rows == (1,)


def test_a_placed_infinity_that_is_only_carried_is_the_answer_itself():
    def step():
        logits = torch.randn(2, 3)
        logits = logits.masked_fill(torch.tensor([[True, False, False], [False, False, False]]), -INF)  # placed
        return F.cross_entropy(logits, torch.tensor([0, 1]))

    finding, _ = find(step)
    assert finding.state == "placed" and finding.birth.site.line == line("placed") and finding.kind == "inf"


def test_additive_mask_kept_outside_the_step_is_meant():
    mask = torch.full((3, 3), -INF).triu(1)
    mask[0, 0] = -INF

    def step():
        return torch.softmax(torch.randn(3, 3) + mask, -1).sum()  # masked

    finding, _ = find(step)
    assert finding.birth.op == "aten::_softmax" and finding.birth.site.line == line("masked")


def test_infinity_in_the_data_is_a_source():
    batch = torch.randn(4, 3)
    batch[2, 1] = INF
    layer = nn.Linear(3, 2)
    finding, _ = find(lambda: layer(batch).sum())
    assert finding.birth is None and finding.state == "carried"
    assert finding.source.tensor is batch and finding.elements.first == ((2, 1),)
    assert [r.op for r in finding.path][0] == "aten::addmm"


def test_nan_in_the_data_is_carried_to_the_gradient():
    batch = torch.randn(4, 3)
    batch[1, 0] = math.nan
    layer = nn.Linear(3, 2)

    def step():
        layer(batch).sum().backward()
        return layer.weight.grad

    finding, _ = find(step)
    assert finding.birth is None and finding.source.tensor is batch


def test_masked_out_nan_is_no_answer_for_a_birth_elsewhere():
    batch = torch.tensor([math.nan, 1.0, 0.0, 2.0])

    def step():
        noise = torch.where(torch.isnan(batch), torch.zeros(4), batch)
        both = torch.cat([batch, noise])
        return both[4:].log().sum()  # true birth

    finding, _ = find(step)
    assert finding.birth.op == "aten::log" and finding.birth.site.line == line("true birth")
    assert finding.source is None and finding.elements.count == 2


def test_unrelated_bad_elements_of_an_input_do_not_hide_a_birth():
    batch = torch.tensor([[math.nan, 1.0], [0.0, 1.0]])

    def step():
        return batch.log()[1].sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::log" and finding.elements.first == ((1, 0),)


def test_of_two_births_only_the_one_that_reaches_the_loss_counts():
    def step():
        x = torch.tensor([0.0, 1.0])
        logged = x.log().max()  # never used
        return (1 / x).sum() + 0 * logged.isnan()  # used

    finding, _ = find(step)
    assert finding.birth.op == "aten::reciprocal" and finding.birth.site.line == line("used")


def test_born_in_a_slice_written_in_place():
    def step():
        table = torch.ones(4, 3)
        row = table[2]
        row.sub_(1.0)
        row.div_(row)  # in place
        return table.t().sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::div_" and finding.birth.site.line == line("in place")
    before = next(i for i in finding.birth.inputs if i.name == "self")
    assert before.value.tolist() == [0.0, 0.0, 0.0], "inputs are shown as they were before the op"


def test_overwritten_values_are_not_blamed():
    def step():
        x = torch.zeros(3).log()
        x.copy_(torch.tensor([1.0, -1.0, 1.0]))
        return x.sqrt().sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::sqrt"


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)  # makes torch fill fresh memory with nan
    yield
    torch.use_deterministic_algorithms(False)


def test_uninitialised_memory_is_no_birth_once_written(deterministic):
    finding, _ = find(lambda: torch.empty(4).fill_(1.0).sum() + torch.empty(2).copy_(torch.ones(2)).sum())
    assert finding.state == "finite"


def test_uninitialised_memory_is_a_birth_when_read(deterministic):
    finding, trace = find(lambda: torch.empty(4).sum())  # fresh
    assert finding.uninitialised and finding.birth.op == "aten::empty" and finding.birth.site.line == line("fresh")
    assert "before anything was written" in birth_from(finding, trace, 0, 0).note


def test_only_the_unwritten_part_of_fresh_memory_is_blamed(deterministic):
    def step():
        table = torch.empty(3, 2)
        table[:2] = torch.ones(2, 2)
        return table.sum()

    finding, _ = find(step)
    assert finding.uninitialised and finding.elements.first == ((2, 0), (2, 1))


def test_values_moved_as_bytes_are_followed():
    def step():
        target, source = torch.ones(2), torch.zeros(2).log()
        target.untyped_storage().copy_(source.untyped_storage())
        return target.sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::log"


# -- backward


def test_where_trap_leads_back_to_the_forward_op():
    x = torch.tensor([4.0, -1.0], requires_grad=True)

    def step():
        y = torch.where(x > 0, x.sqrt(), torch.zeros(2))  # where trap
        y.sum().backward()
        return x.grad

    finding, _ = find(step)
    assert (finding.birth.op, finding.birth.phase) == ("aten::sqrt", "forward")
    assert finding.birth.site.expression == "x.sqrt()" and finding.birth.site.line == line("where trap")


def test_born_in_backward_is_put_at_the_forward_expression():
    class Root(nn.Module):
        def forward(self, x):
            return torch.sqrt((x * x).sum(1)) + 1.0  # norm by hand

    model = nn.Sequential(nn.Linear(2, 2, bias=False), Root())
    nn.init.zeros_(model[0].weight)

    def step():
        model(torch.ones(3, 2)).sum().backward()
        return model[0].weight.grad

    finding, trace = find(step, {"": model})
    birth = birth_from(finding, trace, 7, 8, names=lambda t: "0.weight" if t is model[0].weight.grad else None, batch_size=3)
    assert (birth.phase, birth.op, birth.autograd_node, birth.kind) == ("backward", "aten::div", "SqrtBackward0", "inf")
    assert (birth.line, birth.api, birth.module) == (line("norm by hand"), "torch.sqrt", "1")
    assert birth.expression == "torch.sqrt((x * x).sum(1))" and birth.rows == (0, 1, 2)
    assert birth.tensor == "0.weight" and (birth.step, birth.iteration) == (7, 8)
    assert [f.name for f in birth.inputs] == ["self", "other"] and birth.outputs[0].posinf == 3
    states = [s.state for s in path_from(finding, trace)]
    assert states.count("born") == 1 and states[-1] == "carried"


def test_gradient_taken_inside_the_forward():
    x = torch.zeros(3, requires_grad=True)

    def step():
        y = x.sqrt().sum()  # inner
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        return slope.sum()

    finding, _ = find(step)
    assert finding.birth.phase == "backward" and finding.birth.site.line == line("inner")


def test_second_derivative_is_put_at_the_first_forward_op():
    x = torch.zeros(3, requires_grad=True)

    def step():
        y = (x**1.5).sum()  # twice
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        slope.sum().backward()
        return x.grad

    finding, _ = find(step)
    assert finding.birth.phase == "backward" and finding.birth.site.line == line("twice")


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_forward(reentrant):
    x = torch.zeros(3, requires_grad=True)

    def block(v):
        return v.sqrt() * 2  # checkpointed

    def step():
        y = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=reentrant)
        y.sum().backward()
        return x.grad

    finding, trace = find(step)
    assert finding.birth.site.line == line("checkpointed")
    assert (finding.birth.phase, finding.birth.node) == ("backward", "SqrtBackward0")
    again = [r for r in trace.records if r.plan.base == "sqrt"]
    assert [r.phase for r in again] == ["forward", "forward"], "recomputation is forward work"


def test_custom_function_is_put_at_its_own_backward_line():
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad / x  # own backward

    x = torch.zeros(2, requires_grad=True)

    def step():
        Bad.apply(x).sum().backward()
        return x.grad

    finding, _ = find(step)
    assert finding.birth.site.line == line("own backward") and finding.birth.phase == "backward"


# -- optimizer


@pytest.mark.parametrize("foreach", [False, True])
def test_learning_rate_nan_is_born_in_the_optimizer(foreach):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), foreach=foreach)
    optimizer.param_groups[0]["lr"] = math.nan

    def step():
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()  # nan rate
        return model.weight

    finding, trace = find(step, {"": model})
    named = {id(p): n for n, p in model.named_parameters()}
    birth = birth_from(finding, trace, 0, 0, names=lambda t: named.get(id(t)))
    assert (birth.phase, birth.line, finding.state) == ("optimizer", line("nan rate"), "born")
    assert birth.op in ("aten::addcdiv_", "aten::_foreach_addcdiv_", "aten::_foreach_div_")
    assert birth.tensor == "weight" and "nan" in birth.note


@pytest.mark.parametrize("foreach", [False, True])
def test_half_adam_epsilon_rounds_to_zero(foreach):
    embed = nn.Embedding(4, 2).half()
    optimizer = torch.optim.Adam(embed.parameters(), foreach=foreach)

    def step():
        embed(torch.tensor([0, 1])).sum().backward()
        optimizer.step()
        return embed.weight

    finding, _ = find(step, {"": embed})
    assert finding.birth.plan.base in ("addcdiv_", "_foreach_addcdiv_") and finding.birth.phase == "optimizer"
    assert {i[0] for i in finding.elements.first} == {2, 3}


def test_fused_optimizer():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    optimizer.param_groups[0]["lr"] = math.nan

    def step():
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return model.weight

    finding, _ = find(step)
    assert finding.birth.op == "aten::_fused_adam_" and finding.birth.phase == "optimizer"


def test_a_closure_is_not_the_optimizer():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss

    trace, _ = observe(lambda: optimizer.step(closure))
    phases = {r.plan.base: r.phase for r in trace.records}
    assert phases["addmm"] == "forward" and phases["mm"] == "backward"
    assert "optimizer" in phases.values()


def test_own_optimizer_class():
    class Mine(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {})

        def step(self, closure=None):
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.add_(p.grad / p.grad.abs())  # own step

    weight = nn.Parameter(torch.ones(2))
    optimizer = Mine([weight])

    def step():
        (weight * torch.tensor([1.0, 0.0])).sum().backward()
        optimizer.step()
        return weight

    finding, _ = find(step)
    assert finding.birth.phase == "optimizer" and finding.birth.site.line == line("own step")


# -- where a value is written without the schema saying so, and what runs around the ops


def test_batch_norm_buffers_are_followed():
    norm = nn.BatchNorm1d(2)

    def step():
        norm(torch.tensor([[1e25, 1.0], [-1e25, 2.0]]))
        return norm.running_var

    finding, _ = find(step)
    assert finding.birth.op == "aten::native_batch_norm"


def test_compiled_function_is_seen_op_by_op():
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: torch.log(x).sum(), backend="eager")

    finding, _ = find(lambda: compiled(torch.zeros(2)))
    assert finding.birth.op == "aten::log"


def test_functional_transforms():
    def step():
        return torch.func.vmap(torch.func.grad(lambda v: v.sqrt()))(torch.tensor([0.0, 1.0])).sum()

    finding, _ = find(step)
    assert finding.birth is not None and finding.birth.plan.base == "div"


def test_autocast_cast_is_the_birth():
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.weight, 1e6)

    def step():
        with torch.autocast("cpu", torch.float16):
            return layer(torch.ones(1, 2)).sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::_to_copy"


def test_number_that_leaves_through_item_and_comes_back():
    def step():
        scale = torch.zeros(1).log().sub(-INF).item()  # left
        return torch.ones(2).mul(scale).sum()

    finding, _ = find(step)
    assert finding.birth.plan.base in ("log", "sub") and finding.birth.site.line == line("left")


def test_symptom_captured_before_it_was_overwritten():
    grad = {}

    def step():
        weight = nn.Parameter(torch.zeros(2))
        weight.sqrt().sum().backward()
        grad["then"] = scope.trace.capture(weight.grad, "grad")
        weight.grad.zero_()
        grad["now"] = weight.grad

    with Scope(is_user_file=lambda file: file == HERE) as scope:
        step()
    assert scope.trace.births_reaching(grad["now"]).state == "finite"
    assert scope.trace.births_reaching(grad["then"]).birth.node == "SqrtBackward0"


def test_over_budget_keeps_statistics_and_still_answers():
    def step():
        x = torch.rand(1000)
        for _ in range(20):
            x = x + 1
        x[3] = -1.0
        return x.sqrt().sum()

    trace, loss = observe(step, keep_bytes=20_000)
    finding = trace.births_reaching(loss)
    assert finding.birth.op == "aten::sqrt"
    assert trace.ledger.kept <= 20_000


def test_meta_and_fake_tensors_are_left_alone():
    def step():
        from torch._subclasses import FakeTensorMode

        with FakeTensorMode():
            torch.randn(3).log()
        torch.empty(3, device="meta").log()
        return torch.ones(1)

    trace, _ = observe(step)
    assert not [r for r in trace.records if r.plan.base == "log"]


def test_odd_tensors_do_no_harm():
    def step():
        sparse = torch.eye(3).to_sparse()
        (sparse * 2).to_dense()
        torch.view_as_complex(torch.ones(2, 2)).abs()
        torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8).dequantize()
        torch.ones(2).to(torch.float8_e4m3fn).float()
        torch.empty(0).sum()
        return torch.ones(1)

    observe(step)


def test_sparse_gradient():
    embed = nn.Embedding(5, 2, sparse=True)

    def step():
        (embed(torch.tensor([1, 3])) * 0).sqrt().sum().backward()
        return embed.weight.grad

    finding, _ = find(step)
    assert finding.birth is not None and finding.birth.node == "SqrtBackward0"


def test_phase_is_taken_from_the_caller_when_it_knows():
    trace, _ = observe(lambda: torch.zeros(2).log(), phase=lambda: "init")
    assert {r.phase for r in trace.records} == {"init"}


def test_data_and_init_are_known_by_their_frames():
    class Set(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return torch.zeros(2).log()  # item

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(2).log())  # made

    def step():
        net = Net()
        return next(iter(torch.utils.data.DataLoader(Set(), batch_size=2))), net.scale

    trace, (batch, scale) = observe(step)
    assert (trace.births_reaching(batch).birth.phase, trace.births_reaching(scale).birth.phase) == ("data", "init")
    assert trace.births_reaching(batch).birth.site.line == line("item")
    assert trace.births_reaching(scale).birth.site.line == line("made")


# -- evaluating again


def test_reevaluate_in_double_precision():
    trace, _ = observe(lambda: torch.full((2,), 100.0).exp())
    record = next(r for r in trace.records if r.plan.base == "exp")
    (again,) = reevaluate(record)
    assert again.dtype is torch.float64 and bool(torch.isfinite(again).all())
    (same,) = reevaluate(record, None)
    assert bool(torch.isinf(same).all())


def test_reevaluate_leaves_the_values_alone():
    trace, result = observe(lambda: torch.ones(2).mul_(3e38).mul_(2))
    record = trace.records[-1]
    (again,) = reevaluate(record)
    assert again.tolist() == [torch.tensor(3e38).item() * 2] * 2
    assert bool(torch.isinf(result).all())


def test_reevaluate_draws_no_random_numbers():
    trace, _ = observe(lambda: F.dropout(torch.ones(4)))
    record = next(r for r in trace.records if r.plan.random)
    state = torch.get_rng_state()
    with pytest.raises(NotRepeatable):
        reevaluate(record)
    assert torch.equal(state, torch.get_rng_state())


# -- nothing changes


def _train(observed):
    torch.manual_seed(3)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(16 * 5, 20), nn.BatchNorm1d(20), nn.Dropout(0.5), nn.Linear(20, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []

    def step():
        x, y = torch.randn(6, 5, 16), torch.randint(0, 3, (6,))
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        return loss

    for _ in range(3):
        if observed:
            trace, loss = observe(step, {"": model})
            trace.births_reaching(loss)
        else:
            step()
    return [*model.state_dict().values(), torch.tensor(losses), torch.get_rng_state()]


def test_observing_changes_not_a_bit():
    for a, b in zip(_train(True), _train(False)):
        assert torch.equal(a, b)


def test_the_users_exception_is_the_users():
    with pytest.raises(RuntimeError, match="size of tensor|must match"):
        observe(lambda: torch.ones(2) + torch.ones(3))


def test_own_mistakes_never_reach_the_step(monkeypatch):
    import whynan.replay.scope as module

    def broken(*args):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(module, "plan_of", broken)
    with Scope(is_user_file=lambda file: True) as scope:
        assert torch.ones(2).sum().item() == 2
    assert "ours" in scope.trace.errors[0]
