"""The look at tensors on a device, with stand-ins for its events: what is looked at when, and what is known then."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from whynan.watch import device as module
from whynan.watch.contain import nonfinite_flag
from whynan.watch.device import GRADIENTS, Device
from whynan.watch.hooks import Hooks
from whynan.watch.lagged import Arrived, Lagged
from whynan.watch.loops import LoopRuntime
from whynan.watch.measuring import SOON, TRIALS, Launched, Measuring, read
from whynan.watch.plan import RAREST
from whynan.watch.sentinel import Seen, Sentinel
from whynan.watch.source import SiteTable
from whynan.watch.stopwatch import Stopwatch

STEP = 0.1  # seconds


class Timed(Arrived):
    """An event of a device on which everything that is timed takes `seconds`."""

    seconds = 0.0

    def elapsed_time(self, end: Any) -> float:
        return Timed.seconds * 1e3


class Watched:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.sentinel = Sentinel(self.seen.append, Lagged(Arrived, pinned=False))
        self.sentinel.device = Device(self.sentinel, Lagged(Arrived, pinned=False), Stopwatch(Timed))
        self.hooks = Hooks(self.sentinel, LoopRuntime(SiteTable(), lambda run: None))  # type: ignore[arg-type,return-value]
        self.now = 0.0


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """On a device that is done with everything at once, with a host that takes no time; `now` is the clock of both."""
    watched = Watched()
    monkeypatch.setattr(time, "perf_counter", lambda: watched.now)
    monkeypatch.setattr(time, "thread_time", lambda: watched.now)
    yield watched
    watched.hooks.remove()


def small_and_large() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.01, fused=True)


def train(watched: Watched, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(1, 300)).sum().backward()
        optimizer.step()
        watched.now += STEP


def looked_at(watched: Watched) -> list[int]:
    return [step for step, *_ in watched.sentinel.history.grad_norms]


@pytest.mark.parametrize("cost", [0.0, 0.01])
def test_all_gradients_take_a_share_of_the_time_of_the_device(watched: Watched, cost: float) -> None:
    Timed.seconds = cost
    model, optimizer = small_and_large()
    train(watched, model, optimizer, 300)
    looks = sum(step >= 100 for step in looked_at(watched))
    expected = 200 if cost == 0.0 else 200 * STEP * GRADIENTS / cost
    assert looks == pytest.approx(max(expected, 200 / RAREST), abs=3)


def test_a_bad_small_gradient_never_reaches_the_weights_however_rarely_all_are_looked_at(watched: Watched) -> None:
    Timed.seconds = 0.0
    model, optimizer = small_and_large()
    train(watched, model, optimizer, 20)
    plan = watched.sentinel._plans[id(optimizer)]
    plan.gradients.every = plan.gradients.left = 1000
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.zero_grad()
    model(torch.ones(1, 300)).sum().backward()
    for p in model.parameters():  # as a NaN spreads on its way backward
        assert p.grad is not None
        p.grad.fill_(math.nan)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    late = watched.sentinel.last_look()
    assert late is not None and (late.what, late.step, late.hard) == ("gradient", 20, True)
    assert looked_at(watched)[-1] == 19


def test_what_only_large_gradients_show_counts_as_not_looked_at(watched: Watched) -> None:
    Timed.seconds = 0.0
    model, optimizer = small_and_large()
    train(watched, model, optimizer, 20)
    plan = watched.sentinel._plans[id(optimizer)]
    plan.gradients.every = plan.gradients.left = plan.after.left = 1000
    watched.sentinel.unseen = None
    train(watched, model, optimizer, 2)
    assert watched.sentinel.unseen == 20
    only_small = nn.Linear(300, 2)
    other = torch.optim.SGD(only_small.parameters(), lr=0.01, fused=True)
    train(watched, only_small, other, 20)
    watched.sentinel._plans[id(other)].gradients.left = 1000
    watched.sentinel.unseen = None
    train(watched, only_small, other, 2)
    assert watched.sentinel.unseen is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_flag(dtype: torch.dtype, value: float) -> None:
    most = torch.finfo(dtype).max
    clean = [torch.full((5,), most, dtype=dtype), torch.tensor(-most, dtype=dtype), torch.zeros(3)]
    flag = nonfinite_flag([*clean, torch.zeros(0), torch.arange(3)])
    assert flag is not None and flag.dtype is torch.float32 and flag.shape == () and flag.item() == 0.0
    for i in range(len(clean)):
        bad = [t.clone() for t in clean]
        bad[i].view(-1)[-1] = value
        flag = nonfinite_flag(bad)
        assert flag is not None and flag.item() == 1.0
    assert nonfinite_flag([torch.arange(3)]) is None


class FakeKernel:
    """In the place of the Triton kernel: the reference, on the CPU."""

    def __call__(self, tensors: list[Tensor]) -> tuple[Tensor, Tensor]:
        from whynan.tensors.statistics import reference

        rows = torch.stack(list(reference(tensors)))
        return rows, (rows[3].sum() > 0).float()


def measuring(fits: bool = True) -> Measuring:
    found = Measuring(fits=lambda values: fits)
    found._kernel = FakeKernel()  # type: ignore[assignment]
    return found


@pytest.mark.parametrize("faster", ["kernel", "foreach"])
def test_the_faster_way_is_used(faster: str) -> None:
    chooser, tensors = measuring(), [torch.ones(1 << 20)]
    ways = []
    for _ in range(SOON + 4 * TRIALS):
        launched = chooser.launch(tensors, exact=True)
        assert launched is not None
        ways.append(launched.way)
        chooser.took(launched.way, 1.0 if launched.way == faster else 2.0)
    assert ways[:SOON] == ["foreach"] * SOON
    assert ways[SOON : SOON + TRIALS] == ["kernel"] * TRIALS
    assert ways[-1] == faster


def test_little_to_read_is_read_without_the_kernel() -> None:
    chooser = measuring()
    ways = {launched.way for _ in range(2 * SOON) if (launched := chooser.launch([torch.ones(100)], exact=True))}
    assert ways == {"foreach"}


def test_a_kernel_that_fails_is_not_tried_again() -> None:
    class Broken:
        calls = 0

        def __call__(self, tensors: list[Tensor]) -> tuple[Tensor, Tensor]:
            Broken.calls += 1
            raise RuntimeError("no C compiler")

    chooser = measuring()
    chooser._kernel = Broken()  # type: ignore[assignment]
    launched = [chooser.launch([torch.ones(1 << 20)], exact=False) for _ in range(SOON + 5)]
    assert Broken.calls == 1 and all(one is not None and one.way == "foreach" for one in launched)


def numbers(launched: Launched | None) -> tuple[str, bool, list[float]]:
    assert launched is not None
    return launched.way, launched.flag is not None, launched.numbers.reshape(-1).tolist()


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("way", ["foreach", "kernel"])
def test_what_is_known_of_large_and_of_bad_elements(way: str, exact: bool) -> None:
    chooser = measuring(fits=way == "kernel")
    chooser.turns = SOON
    large, bad = torch.full((1 << 20,), 1e30), torch.full((1 << 20,), 0.5)
    sizes = read(*numbers(chooser.launch([large], exact)))
    in_doubt = way == "foreach" and not exact
    assert sizes.certain is (None if in_doubt else False)
    if way == "kernel":
        assert sizes.norms == pytest.approx([1e30 * 2**10]) and sizes.largest == sizes.smallest == [float(large[0])]
    bad[7] = math.inf
    sizes = read(*numbers(chooser.launch([torch.ones(4), bad], exact)))
    assert sizes.certain is (None if in_doubt else True)
    assert sizes.norms[0] == 2.0 and not math.isfinite(sizes.norms[1])
    if way == "kernel":
        assert sizes.bad == [False, True] and sizes.largest == [1.0, 0.5]


def test_an_exact_look_names_the_parameter_and_is_certain(watched: Watched) -> None:
    Timed.seconds = 0.0
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 4096), nn.Linear(4096, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)  # not fused: nothing holds the step back
    train(watched, model, optimizer, 2)
    assert watched.sentinel.device is not None
    looks = watched.sentinel.device._of(optimizer)
    looks.gradients = measuring()
    looks.gradients.turns = SOON
    optimizer.zero_grad()
    model(torch.ones(1, 300)).sum().backward()
    assert model[1].weight.grad is not None and model[0].weight.grad is not None
    model[0].weight.grad.fill_(1e25)
    model[1].weight.grad[0, 0] = math.nan
    optimizer.step()
    late = watched.sentinel.device.arrivals(wait=True)
    assert late is not None and late.hard and late.owner is model[1].weight and late.what == "gradient"
    assert watched.sentinel.history.grad_extremes[-1][2] == pytest.approx(1e25)


def test_nothing_is_asked_of_the_device_while_a_graph_is_captured(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = small_and_large()
    train(watched, model, optimizer, 3)
    monkeypatch.setattr(module, "capturing", lambda: True)

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the device was asked")

    device = watched.sentinel.device
    assert device is not None
    monkeypatch.setattr(device.lagged, "send", never)
    monkeypatch.setattr(device.lagged, "arrived", never)
    monkeypatch.setattr(device.stopwatch, "finished", never)
    monkeypatch.setattr(device.stopwatch, "over", never)
    before = len(watched.sentinel.history.loss)
    train(watched, model, optimizer, 3)
    assert len(watched.sentinel.history.loss) == before and not hasattr(optimizer, "found_inf")
