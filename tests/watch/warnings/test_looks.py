"""A look changes no number, and sees what it is for."""

from pathlib import Path

import torch
from torch import nn

from whynan.watch.warnings.looks import Looker, Schedule


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


def test_it_changes_nothing() -> None:
    (bare, _), (looked, _) = gradients(False), gradients(True)
    assert len(bare) == len(looked) and all(map(torch.equal, bare, looked))


def test_what_it_sees() -> None:
    _, looker = gradients(True)
    places = {look.what: look.place or "" for look in looker.read(1) if look.place is not None}
    assert all(Path(__file__).name in places[what] for what in ("exp", "softmax", "norm"))
    assert looker.read(1) == []


def test_masked_logits_are_not_wide() -> None:
    looker = Looker(lambda file: True, backward=False)
    with looker:
        torch.tensor([[0.0, 3.0, float("-inf"), -1e9], [float("-inf")] * 4]).softmax(-1)
    assert [look.value for look in looker.read(0)] == [3.0]


def test_half_results() -> None:
    looker = Looker(lambda file: True, backward=False)
    with looker:
        torch.full((2, 2), 100.0, dtype=torch.float16) @ torch.full((2, 2), 100.0, dtype=torch.float16)
    (look,) = looker.read(0)
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
