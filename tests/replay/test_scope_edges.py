"""What happens around the ops: undeclared writes, compilation, transforms, odd tensors, budgets, phases."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from replay.observing import find, line, observe
from whynan.replay.scope import Scope
from whynan.replay.story import path_from

INF = math.inf


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

    with Scope(is_user_file=lambda file: file == __file__) as scope:
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


def test_the_scope_may_be_entered_again():
    weight = nn.Parameter(torch.ones(2))
    scope = Scope(is_user_file=lambda file: file == __file__)
    with scope:
        loss = (weight - 1).sqrt().sum()  # first time
    with scope:
        loss.backward()
    finding = scope.trace.births_reaching(weight.grad)
    assert finding.birth.node == "SqrtBackward0" and finding.birth.site.line == line("first time")


def test_what_changed_while_nobody_watched_is_no_op_of_the_trace():
    table = torch.ones(2)
    scope = Scope(is_user_file=lambda file: file == __file__)
    with scope:
        table.mul_(2)
    table[0] = math.nan
    with scope:
        total = table.sum()
    finding = scope.trace.births_reaching(total)
    assert finding.birth is None and finding.source.tensor is table


def test_a_view_that_does_not_say_so_is_followed():
    def step():
        x = torch.zeros(2, 3)
        flat = torch.ops.aten._unsafe_view(x, [6])
        flat.log_()
        return x.sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::log_"
    assert next(i for i in finding.birth.inputs if i.name == "self").value.tolist() == [0.0] * 6


@pytest.mark.parametrize("pick", [torch.max, torch.amax, lambda x: F.max_pool1d(x[None], 2), lambda x: x.topk(2)[0]])
def test_what_picks_the_largest_carries_nan(pick):
    def step():
        x = torch.tensor([1.0, -1.0, 4.0, 9.0]).sqrt()
        return pick(x).sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::sqrt" and finding.elements.first == ((1,),)


def test_a_limit_of_infinity_is_no_cause():
    def step():
        return torch.tensor([-1.0]).log().clamp(max=INF).add(torch.linalg.vector_norm(torch.ones(2), INF))

    finding, _ = find(step)
    assert finding.birth.op == "aten::log" and finding.scalar is None


def test_of_several_symptoms_the_earliest_birth_counts():
    def step():
        return torch.zeros(2).log(), torch.ones(1).neg().sqrt()

    trace, both = observe(step)
    assert trace.births_reaching(both[::-1]).birth.op == "aten::log"
    assert trace.births_reaching(torch.empty(2, device="meta")) is None


def test_growth_before_the_birth():
    def step():
        x = torch.full((2,), 10.0)
        for _ in range(6):
            x = x * x  # grows
        return x.sum()

    finding, trace = find(step)
    steps = path_from(finding, trace)
    sizes = [step.absmax for step in steps if step.state == "finite"]
    assert sizes == sorted(sizes) and sizes[-1] == pytest.approx(1e32)
    assert [s.state for s in steps][-2:] == ["born", "carried"] and steps[0].line == line("grows")


def test_number_that_left_the_tensors_and_came_back_is_no_source():
    returns, log_probs = torch.ones(1), torch.rand(1, requires_grad=True)

    def step():
        scaled = (returns - returns.mean()) / returns.std()
        rebuilt = [torch.tensor([r]) for r in scaled]
        return (log_probs * scaled).sum() + torch.stack(rebuilt).sum()

    finding, _ = find(step)
    assert finding.instead.birth.op == "aten::std"
