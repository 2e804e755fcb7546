"""`whynan.guard(optimizer)`: right with every kind of optimizer and loop, and without effect where nothing is wrong."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import whynan
from whynan import NonFiniteError, UsageError
from whynan.watch.attempts import Attempts

BAD = (3, 7)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    assert Attempts.current is None
    yield


def data(step: int, bad: bool) -> torch.Tensor:
    x = torch.rand(8, 3, generator=torch.Generator().manual_seed(step))
    if bad and step in BAD:
        x[2, 1] = math.nan
    return x


def train(optimizer_of: Callable[..., Any], guarded: dict[str, Any] | None, steps: int = 12, bad: bool = True) -> Any:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = optimizer_of(net.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    guard = whynan.guard(optimizer, **guarded) if guarded is not None else None
    states = []
    for step in range(steps):
        before = copy.deepcopy((net.state_dict(), optimizer.state_dict()["state"]))
        optimizer.zero_grad()
        net(data(step, bad)).square().mean().backward()
        optimizer.step()
        schedule.step()
        states.append((before, copy.deepcopy((net.state_dict(), optimizer.state_dict()["state"]))))
    if guard is not None:
        guard.remove()
    return net, optimizer, guard, states


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "fused": lambda p: torch.optim.Adam(p, lr=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_skipped_step_changes_nothing(kind: str) -> None:
    net, optimizer, guard, states = train(OPTIMIZERS[kind], {"skip": True})
    assert guard.skipped == len(BAD)
    assert [action.step for action in guard.actions] == list(BAD)
    for step, (before, after) in enumerate(states):
        assert same(before, after) == (step in BAD)
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.1**2)  # the schedule went on


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_where_nothing_is_wrong_nothing_is_changed(kind: str) -> None:
    bare, *_ = train(OPTIMIZERS[kind], None, bad=False)
    guarded, _, guard, _ = train(OPTIMIZERS[kind], {"skip": True, "clip": "norm:1e9"}, bad=False)
    assert guard.actions == ()
    assert same(bare.state_dict(), guarded.state_dict())


def test_it_gives_up_after_its_cap() -> None:
    with pytest.raises(NonFiniteError, match="gave up at step 7") as caught:
        train(OPTIMIZERS["adam"], {"skip": True, "cap": 1})
    report = caught.value.report
    assert report is not None and [action.kind for action in report.actions] == ["skip", "gave-up"]


def test_it_gives_up_after_too_many_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.BAD", tuple(range(2, 12)))
    with pytest.raises(NonFiniteError, match="gave up at step 5"):
        train(OPTIMIZERS["sgd"], {"skip": True, "row": 3})


def test_a_learning_rate_that_is_not_finite() -> None:
    """A schedule that divides by zero once: the gradients are fine, the update would not be."""
    net = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with whynan.guard(optimizer, skip=True) as guard:
        for step, rate in enumerate((0.1, math.inf, 0.1)):
            kept = copy.deepcopy(net.state_dict())
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            net(data(step, False)).square().mean().backward()
            optimizer.step()
            assert same(kept, net.state_dict()) == (rate == math.inf)
    assert [action.message for action in guard.actions] == ["update skipped: the learning rate is inf"]


def test_closures() -> None:
    """The gradients that count are those of the closure."""
    net = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = whynan.guard(optimizer, skip=True)
    kept = copy.deepcopy(net.state_dict())
    for step, finite in enumerate((False, True)):

        def closure(step: int = 3 + step) -> torch.Tensor:
            optimizer.zero_grad()
            loss = net(data(step, True)).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        assert same(kept, net.state_dict()) != finite
    assert guard.skipped == 1
    guard.remove()


def test_gradient_accumulation_and_two_optimizers() -> None:
    torch.manual_seed(0)
    one, two = nn.Linear(3, 1), nn.Linear(3, 1)
    first, second = torch.optim.SGD(one.parameters(), lr=0.1), torch.optim.SGD(two.parameters(), lr=0.1)
    with whynan.guard(first, second, skip=True) as guard:
        kept = copy.deepcopy(one.state_dict()), copy.deepcopy(two.state_dict())
        for step in (2, 3):  # the second micro-batch is bad, for one of the two
            one(data(step, True)).square().mean().backward()
            two(data(step, False)).square().mean().backward()
        first.step()
        second.step()
    assert guard.skipped == 1
    assert same(kept[0], one.state_dict()) and not same(kept[1], two.state_dict())


def test_norms_of_scaled_gradients_are_unscaled() -> None:
    """GradScaler leaves the gradients of a fused optimizer scaled, and tells it the scale."""
    net = nn.Linear(3, 1)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    from whynan.guard.measure import gradient_norm

    (net(data(0, False)).sum() * 1024.0).backward()
    plain, _ = gradient_norm(optimizer)
    optimizer.grad_scale = torch.tensor(1024.0)  # type: ignore[attr-defined]
    unscaled, why = gradient_norm(optimizer)
    assert unscaled * 1024.0 == pytest.approx(plain) and why is None


def test_a_norm_that_only_overflows_is_finite() -> None:
    p = nn.Parameter(torch.zeros(4))
    p.grad = torch.full((4,), 1e25)
    from whynan.guard.measure import gradient_norm

    norm, why = gradient_norm(torch.optim.SGD([p], lr=1.0))
    assert norm == pytest.approx(2e25) and why is None


def test_sparse_gradients() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    optimizer = torch.optim.SparseAdam(table.parameters())
    with whynan.guard(optimizer, skip=True, clip="norm:0.5") as guard:
        kept = table.weight.detach().clone()
        (table(torch.tensor([1, 2])) * math.nan).sum().backward()
        optimizer.step()
        assert guard.skipped == 1 and torch.equal(kept, table.weight)
        optimizer.zero_grad()
        table(torch.tensor([1, 2])).sum().backward()
        optimizer.step()
        assert not torch.equal(kept, table.weight)


def test_clipping_limits_the_update() -> None:
    p = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([p], lr=1.0)
    with whynan.guard(optimizer, clip="norm:1.0"):
        p.grad = torch.tensor([3.0, 4.0])
        optimizer.step()
    assert torch.allclose(p, torch.tensor([-0.6, -0.8]))


@pytest.mark.parametrize(
    "make, options, says",
    [
        (lambda p: torch.optim.LBFGS(p), {"skip": True}, "LBFGS"),
        (lambda p: torch.optim.SGD(p, lr=1.0), {}, "nothing to do"),
        (lambda p: torch.optim.SGD(p, lr=1.0), {"rollback": 3}, "whynan.watch"),
        (lambda p: torch.optim.SGD(p, lr=1.0), {"skipp": True}, "Valid names"),
        (lambda p: "optimizer", {"skip": True}, "str"),
    ],
)
def test_what_is_refused(make: Callable[..., Any], options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        whynan.guard(make([nn.Parameter(torch.zeros(1))]), **options)


def test_no_optimizer_at_all() -> None:
    with pytest.raises(UsageError, match="needs the optimizers"):
        whynan.guard(skip=True)
