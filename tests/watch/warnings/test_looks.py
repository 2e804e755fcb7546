"""A look changes no number, and sees what it is for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from whynan.watch.lagged import Lagged
from whynan.watch.warnings import looks
from whynan.watch.warnings.looks import Look, Looker, Schedule, arrived


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 3)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        x = x + self.attend(x, x, x)[0]
        return self.out(x).exp().softmax(-1)


def gradients(look: bool) -> tuple[list[torch.Tensor], Looker]:
    torch.manual_seed(0)
    net, x = Net(), torch.randn(4, 5, 8)
    looker = Looker(lambda file: file == __file__, backward=True)
    if look:
        looker.__enter__()
    net(x).square().sum().backward()
    if look:
        looker.__exit__(None, None, None)
    return [p.grad for p in net.parameters() if p.grad is not None], looker


@pytest.mark.parametrize("op", [lambda x: x.prod(1), lambda x: x.cumprod(1), torch.linalg.slogdet])
def test_derivatives_that_are_computed_in_another_way_under_a_mode(op: Callable[[torch.Tensor], object]) -> None:
    """`prod` divides by its inputs where no mode is active, and does not under one: a matter of the last bit."""

    def gradient(looker: Looker | None) -> torch.Tensor:
        torch.manual_seed(0)
        x = (1 + 0.02 * torch.randn(40, 40)).requires_grad_()
        half = torch.ones(2, dtype=torch.float16)
        if looker is not None:
            looker.begin()
        result = op(x)
        loss = (result if isinstance(result, torch.Tensor) else result[1]).sum() + (half * half).sum().float()  # type: ignore[index]
        if looker is not None:
            looker.backward_begins((loss,))
        loss.backward()
        assert x.grad is not None
        return x.grad

    looker = Looker(lambda file: True, backward=True)
    assert torch.equal(gradient(None), gradient(looker)) and not looker.active


@pytest.mark.parametrize(("dtype", "stays"), [(torch.float16, True), (torch.float32, False)])
def test_backward_is_looked_at_in_half_precision_only(dtype: torch.dtype, stays: bool) -> None:
    looker = Looker(lambda file: True, backward=True)
    x = torch.full((2, 2), 3.0, dtype=dtype, requires_grad=True)
    looker.begin()
    loss = (x @ x).sum()
    looker.backward_begins((loss,))
    assert looker.active == stays
    loss.backward()
    assert looker.end()
    assert any(look.place is None for look in read(looker, 0)) == stays


def read(looker: Looker, index: int) -> list[Look]:
    queue = Lagged()
    looker.send(index, queue)
    return [look for _, looks in arrived(queue) for look in looks]


def test_it_changes_nothing() -> None:
    (bare, _), (looked, _) = gradients(False), gradients(True)
    assert len(bare) == len(looked) and all(map(torch.equal, bare, looked))


def test_what_it_sees() -> None:
    _, looker = gradients(True)
    places = {look.what: look.place or "" for look in read(looker, 1) if look.place is not None}
    assert all(Path(__file__).name in places[what] for what in ("exp", "softmax", "norm"))
    assert read(looker, 1) == []


def test_masked_logits_are_not_wide() -> None:
    looker = Looker(lambda file: True, backward=False)
    with looker:
        torch.tensor([[0.0, 3.0, float("-inf"), -1e9], [float("-inf")] * 4]).softmax(-1)
    assert [look.value for look in read(looker, 0)] == [3.0]


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_a_large_softmax_is_looked_at_in_slices(monkeypatch: pytest.MonkeyPatch, dim: int) -> None:
    x = torch.randn(6, 7, 8)
    whole = (x.amax(dim) - x.amin(dim)).amax().double()
    monkeypatch.setattr(looks, "SLICE", 10)
    looker = Looker(lambda file: True, backward=False)
    with looker:
        x.softmax(dim)
    assert [look.value for look in read(looker, 0)] == [whole]


def test_numbers_that_are_under_way_are_not_waited_for() -> None:
    class Later:
        there = False

        def record(self) -> None: ...
        def synchronize(self) -> None: ...
        def query(self) -> bool:
            return Later.there

    queue, looker = Lagged(Later, pinned=False), Looker(lambda file: True, backward=False)
    with looker:
        torch.tensor([1.0, 4.0]).exp()
    looker.send(7, queue)
    assert list(arrived(queue)) == [] and len(queue) == 1
    Later.there = True
    ((step, (look,)),) = arrived(queue)
    assert (step, look.index, look.value) == (7, 7, 4.0) and len(queue) == 0


def test_half_results() -> None:
    looker = Looker(lambda file: True, backward=False)
    with looker:
        torch.full((2, 2), 100.0, dtype=torch.float16) @ torch.full((2, 2), 100.0, dtype=torch.float16)
    (look,) = read(looker, 0)
    assert (look.what, look.op, look.value) == ("float16", "mm", 20000.0)


def test_looks_become_rare() -> None:
    schedule, looked = Schedule(), []
    for step in range(1000):
        if schedule.due(step):
            schedule.began()
            looked.append(step)
            schedule.looked(step)
        schedule.began()
        schedule.bare()
    assert looked[:4] == [1, 3, 6, 10] and len(looked) < 40
    schedule.hurry(1000, 8.0)
    assert schedule.next == min(schedule.next, 1002)
