"""Numbers that arrive late: order, reuse of memory, and the alarm that names the step it is about."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from whynan.watch.hooks import Hooks
from whynan.watch.lagged import DEEPEST, Lagged
from whynan.watch.loops import LoopRuntime
from whynan.watch.sentinel import Seen, Sentinel
from whynan.watch.source import SiteTable


class Stream:
    """A device that is `behind` events late: an event counts as reached when that many were recorded after it."""

    def __init__(self, behind: int) -> None:
        self.behind, self.recorded, self.waits = behind, 0, 0

    def event(self) -> StreamEvent:
        return StreamEvent(self)


class StreamEvent:
    def __init__(self, stream: Stream) -> None:
        self.stream, self.at = stream, 0

    def record(self) -> None:
        self.stream.recorded += 1
        self.at = self.stream.recorded

    def query(self) -> bool:
        return self.stream.recorded - self.at >= self.stream.behind

    def synchronize(self) -> None:
        self.stream.waits += 1


def lagged(behind: int) -> tuple[Lagged, Stream]:
    stream = Stream(behind)
    return Lagged(stream.event, pinned=False), stream


def test_numbers_come_in_order_and_late() -> None:
    queue, stream = lagged(behind=2)
    arrived = []
    for i in range(6):
        queue.send(torch.tensor([float(i)]), i)
        arrived.append([what for what, _ in queue.arrived()])
    assert arrived == [[], [], [0], [1], [2], [3]]
    assert [numbers for _, numbers in queue.arrived(wait=True)] == [[4.0], [5.0]]
    assert stream.waits == 2


def test_what_was_sent_is_what_arrives_although_the_tensor_changes() -> None:
    queue, _ = lagged(behind=1)
    loss = torch.tensor(1.5)
    queue.send(loss, "loss")
    loss.fill_(9.0)
    assert list(queue.arrived(wait=True)) == [("loss", [1.5])]


def test_a_device_that_never_answers_is_waited_for_in_the_end() -> None:
    queue, stream = lagged(behind=10**9)
    for i in range(DEEPEST + 3):
        queue.send(torch.zeros(2), i)
        list(queue.arrived())
    assert stream.waits == 3


class Watched:
    def __init__(self, behind: int) -> None:
        self.seen: list[Seen] = []
        queue, self.stream = lagged(behind)
        self.sentinel = Sentinel(self.seen.append, queue)
        self.hooks = Hooks(self.sentinel, LoopRuntime(SiteTable(), lambda run: None))  # type: ignore[arg-type,return-value]


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched(behind=2)
    yield watched
    watched.hooks.remove()


def test_alarm_names_the_step_and_comes_without_waiting(watched: Watched) -> None:
    x = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([x], lr=0.0, fused=True)
    for step in range(6):
        optimizer.zero_grad()
        (x.sum() * (math.nan if step == 2 else 1.0)).backward()
        optimizer.step()
    first = watched.seen[0]
    assert (first.what, first.step) == ("loss", 2) and watched.sentinel.steps > 3
    assert watched.stream.waits == 0
    assert [(step, math.isnan(loss)) for _, step, loss in watched.sentinel.history.loss][:4] == [
        (0, False),
        (1, False),
        (2, True),
        (3, False),
    ]


def test_at_the_end_nothing_is_left_on_its_way(watched: Watched) -> None:
    x = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([x], lr=1.0)
    (x.sum() * math.inf).backward()
    optimizer.step()
    assert watched.seen == []
    late = watched.sentinel.last_look()
    assert late is not None and late.step == 0


FUSED = [
    lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    lambda p: torch.optim.Adam(p, lr=0.1, fused=True),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    lambda p: torch.optim.Adagrad(p, lr=0.1, fused=True),
]


@pytest.mark.parametrize("make", FUSED)
def test_fused_optimizers_skip_a_bad_gradient_before_anybody_knows(make, watched: Watched) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = make(list(model.parameters()))

    def step(factor: float) -> None:
        optimizer.zero_grad()
        model(torch.ones(1, 3)).sum().backward()
        assert model.bias.grad is not None
        model.bias.grad.mul_(factor)
        optimizer.step()

    step(1.0)
    before = [p.detach().clone() for p in model.parameters()]
    state = [v.clone() for s in optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
    step(math.inf)
    assert watched.stream.waits == 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    after = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
    assert all(torch.equal(a, b) for a, b in zip(state, after, strict=True))
    assert not hasattr(optimizer, "found_inf")
    step(1.0)
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    watched.seen += filter(None, [watched.sentinel.last_look()])
    assert [(seen.what, seen.step, seen.hard) for seen in watched.seen] == [("gradient", 1, True)]


def test_gradients_whose_squares_overflow_are_not_skipped(watched: Watched) -> None:
    p = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([p], lr=1e-30, fused=True)
    p.grad = torch.full((3,), 1e30)
    optimizer.step()
    assert p.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_healthy_steps_are_bit_identical_with_containment(watched: Watched) -> None:
    def train() -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Linear(8, 8)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(4, 8)).square().sum().backward()
            optimizer.step()
        return [p.detach() for p in model.parameters()]

    seen = train()
    watched.hooks.remove()
    assert all(torch.equal(a, b) for a, b in zip(seen, train(), strict=True))
