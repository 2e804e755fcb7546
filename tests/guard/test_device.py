"""Gradients on a device: nothing is read back before the step, and the decision is counted when it arrives."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from whynan.guard.device import OnDevice
from whynan.guard.guard import Guard
from whynan.guard.settings import Settings
from whynan.watch.lagged import Lagged

NAN_AT = (3, 6)


class StreamEvent:
    """What was asked of the device before it is done when `done` says so: here one step later."""

    def __init__(self) -> None:
        self.asked = 0

    def record(self) -> None:
        self.asked = 0

    def query(self) -> bool:
        self.asked += 1
        return self.asked > 1

    def synchronize(self) -> None: ...


class NothingRead(TorchDispatchMode):
    """Reading a number makes the host wait: an error here. Not for `Lagged`, whose slots are on the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default or func is torch.ops.aten.equal.default:
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


def guarded(settings: Settings, optimizer: Any) -> Guard:
    guard = Guard(settings, [optimizer])
    guard.device = OnDevice(Lagged(StreamEvent, pinned=False), anywhere=True)
    return guard


def train(settings: Settings, steps: int = 10, bad: tuple[int, ...] = NAN_AT) -> tuple[Guard, list[list[torch.Tensor]]]:
    torch.manual_seed(0)
    p = nn.Parameter(torch.ones(4))
    optimizer = torch.optim.Adam([p], lr=0.1, fused=True)
    guard = guarded(settings, optimizer)
    states = []
    for step in range(steps):
        p.grad = torch.full((4,), math.nan if step in bad else 1.0 + step)
        with NothingRead():
            guard._before(optimizer)
        optimizer.step()
        states.append([p.detach().clone(), *(t.clone() for t in optimizer.state[p].values())])
    guard.remove()
    return guard, states


def test_a_bad_step_is_left_out_and_counted_later() -> None:
    guard, states = train(Settings(skip=True))
    assert [(a.step, a.kind) for a in guard.journal.actions] == [(step, "skip") for step in NAN_AT]
    for step, (before, after) in enumerate(zip(states, states[1:], strict=False), 1):
        assert all(map(torch.equal, before, after)) == (step in NAN_AT)
    assert all(bool(torch.isfinite(t).all()) for t in states[-1])


def test_the_cap_holds() -> None:
    guard, states = train(Settings(skip=True, cap=1, row=9))
    assert [a.kind for a in guard.journal.actions] == ["skip", "gave-up"]
    assert guard.journal.counted == 1 and not bool(torch.isfinite(states[-1][0]).all())


def test_nothing_changes_where_nothing_is_wrong() -> None:
    bare, _ = train(Settings(skip=True), bad=())
    torch.manual_seed(0)
    p = nn.Parameter(torch.ones(4))
    optimizer = torch.optim.Adam([p], lr=0.1, fused=True)
    for step in range(10):
        p.grad = torch.full((4,), 1.0 + step)
        optimizer.step()
    _, states = train(Settings(skip=True), bad=())
    assert torch.equal(states[-1][0], p) and bare.journal.actions == []


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_clipping_happens_there(scale: float) -> None:
    """The factor is of the unscaled gradients, also where GradScaler left them scaled."""
    p, q = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([p, q], lr=1.0, fused=True)
    guard = guarded(Settings(clip="norm:1.0"), optimizer)
    p.grad, q.grad = torch.tensor([3.0, 0.0]) * scale, torch.tensor([0.0, 4.0]) * scale
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(scale), torch.tensor(0.0)  # type: ignore[attr-defined]
    optimizer.step()
    guard.remove()
    assert torch.allclose(p, torch.tensor([-0.6, 0.0])) and torch.allclose(q, torch.tensor([0.0, -0.8]))


def test_a_step_that_the_scaler_leaves_out_is_its_own() -> None:
    p = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([p], fused=True)
    guard = guarded(Settings(skip=True), optimizer)
    kept = copy.deepcopy(p)
    for _ in range(4):
        p.grad = torch.full((2,), math.inf)
        optimizer.grad_scale, optimizer.found_inf = torch.tensor(2.0), torch.tensor(1.0)  # type: ignore[attr-defined]
        optimizer.step()
    guard.remove()
    assert guard.journal.actions == [] and torch.equal(p, kept)


@pytest.mark.gpu
@pytest.mark.parametrize("fused", [True, False])
def test_on_a_gpu(fused: bool) -> None:
    torch.manual_seed(0)
    net = nn.Linear(8, 8).cuda()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1, fused=fused)
    guard = Guard(Settings(skip=True, clip="norm:1"), [optimizer])
    torch.cuda.set_sync_debug_mode("error" if fused else "default")
    try:
        for step in range(8):
            optimizer.zero_grad()
            (net(torch.rand(4, 8, device="cuda")).sum() * (math.nan if step == 3 else 1.0)).backward()
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    list(map(guard._count, guard.device.arrived(wait=True)))
    guard.remove()
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())
    assert [a.step for a in guard.journal.actions] == [3]
