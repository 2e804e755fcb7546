"""A snapshot puts everything back that a training iteration can change, in place."""

import random
import sys
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from whynan.watch.snapshot import Snapshot, Snapshotter


def make() -> Snapshotter:
    return Snapshotter(lambda path: path == __file__)


def take(*roots: object) -> Snapshot:
    """A snapshot of `roots` from a frame of its own, so that the test keeps its local variables."""
    return make().take(sys._getframe(), roots, 0, 0)


def test_training_state_returns_bit_for_bit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    x, y = torch.randn(16, 4), torch.randn(16, 1)

    def train() -> float:
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss.item()

    train()
    identities = [id(v) for s in optimizer.state.values() for v in s.values()]
    snapshot = take(model, optimizer, scheduler)
    first = [train() for _ in range(3)]
    after = [p.detach().clone() for p in model.parameters()]
    snapshot.restore()
    assert identities == [id(v) for s in optimizer.state.values() for v in s.values()]
    assert first == [train() for _ in range(3)]
    assert all(torch.equal(a, p) for a, p in zip(after, model.parameters(), strict=True))
    assert not snapshot.lost


def test_state_that_did_not_exist_is_removed() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    snapshot = make().take(sys._getframe(), None, 0, 0)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert optimizer.state
    snapshot.restore()
    assert not optimizer.state
    assert all(p.grad is None for p in model.parameters())


class Trainer:
    counts = 0

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.queue: deque[int] = deque([1, 2])
        self.seen = {3}
        self.table = np.zeros(3)
        self.generator = torch.Generator().manual_seed(1)
        self.numpy = np.random.default_rng(0)
        self.python = random.Random(0)
        self.step = 0

    def change(self) -> tuple[float, float, float]:
        self.losses.append(1.0)
        self.queue.append(9)
        self.seen.add(4)
        self.table += 1
        self.step += 1
        Trainer.counts += 1
        setattr(self, "new", "attribute")  # noqa: B010
        return (torch.rand(1, generator=self.generator).item(), self.numpy.random(), self.python.random())


def test_python_state_returns() -> None:
    trainer = Trainer()
    counter = 0

    def bump() -> None:
        nonlocal counter
        counter += 1

    snapshot = take(trainer, bump)
    drawn = trainer.change()
    bump()
    snapshot.restore()
    assert (trainer.losses, list(trainer.queue), trainer.seen, trainer.step) == ([], [1, 2], {3}, 0)
    assert trainer.table.tolist() == [0, 0, 0]
    assert Trainer.counts == 0 and not hasattr(trainer, "new") and counter == 0
    assert drawn == trainer.change()
    snapshot.restore()


def test_global_random_states_return() -> None:
    snapshot = take()
    first = (torch.rand(3).tolist(), np.random.rand(), random.random())
    snapshot.restore()
    assert first == (torch.rand(3).tolist(), np.random.rand(), random.random())


def test_locals_are_rebound_and_unbound() -> None:
    hidden = torch.zeros(2)
    snapshot = make().take(sys._getframe(), None, 0, 0)
    hidden = hidden + 1  # noqa: F841
    fresh = 1  # noqa: F841
    snapshot.restore()
    assert sys._getframe().f_locals["hidden"].tolist() == [0, 0]
    if sys.version_info < (3, 13):
        assert "fresh" not in sys._getframe().f_locals


def test_unchanged_tensors_share_their_copy() -> None:
    big = torch.zeros(1000)
    snapshotter = make()

    def again(index: int) -> Snapshot:
        return snapshotter.take(sys._getframe(), big, index, 0)

    first, second = again(0), again(1)
    assert first.entries[id(big)] is second.entries[id(big)]
    big.add_(1)
    third = again(2)
    assert third.entries[id(big)] is not second.entries[id(big)]
    first.restore()
    assert big.sum() == 0
    third.restore()
    assert big.sum() == 1000


def test_large_tensor_that_was_never_written_to_is_not_copied_and_its_loss_is_said() -> None:
    big = torch.zeros(1 << 20)
    snapshot = take(big)
    assert snapshot.entries[id(big)].copy is None
    big.add_(1)
    snapshot.restore()
    assert snapshot.lost and snapshot.lost[0] is big


@pytest.mark.parametrize("swap", [lambda p: setattr(p, "data", torch.ones(3)), lambda p: p.data.fill_(7)])
def test_swapped_storage_returns(swap) -> None:  # type: ignore[no-untyped-def]
    p = nn.Parameter(torch.zeros(3))
    address = p.data_ptr()
    snapshot = take(p)
    swap(p)
    snapshot.restore()
    assert p.tolist() == [0, 0, 0] and p.data_ptr() == address


def test_parameter_written_through_data_is_copied_anew() -> None:
    p = nn.Parameter(torch.zeros(3))
    snapshotter = make()

    def again(index: int) -> Snapshot:
        return snapshotter.take(sys._getframe(), p, index, 0)

    again(0)
    p.data.add_(1)  # does not count as a write of `p`
    second = again(1)
    p.data.add_(1)
    second.restore()
    assert p.tolist() == [1, 1, 1]


def test_expanded_tensors_return() -> None:
    """Torch refuses to write to a tensor whose elements share memory, changed or not."""
    base = torch.arange(4.0)
    expanded = base.expand(3, 4)
    snapshot = take([expanded])
    base.zero_()
    snapshot.restore()
    assert expanded.tolist() == [[0.0, 1.0, 2.0, 3.0]] * 3


def test_lazily_conjugated_and_negated_tensors_return() -> None:
    base = torch.randn(3, dtype=torch.complex64)
    before = base.clone()
    conjugate, negated, plain = base.conj(), base.conj().imag, torch.zeros(2)
    assert conjugate.is_conj() and negated.is_neg()
    snapshot = take([conjugate, negated, plain])
    base.mul_(2)
    plain.add_(1)
    snapshot.restore()
    assert torch.equal(base, before) and torch.equal(plain, torch.zeros(2))
