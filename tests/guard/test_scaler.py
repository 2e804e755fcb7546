"""GradScaler searches for its scale by skipping steps: that is its own business, whatever the guard."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import whynan


def train(fused: bool, options: dict[str, Any] | None) -> tuple[list[torch.Tensor], list[float], Any]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2, fused=fused)
    guard = whynan.guard(optimizer, **options) if options else None
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=6)
    scales = []
    for step in range(30):
        x = torch.rand(8, 3, generator=torch.Generator().manual_seed(step))
        if step == 20:
            x[0, 0] = float("nan")
        with torch.autocast("cpu", dtype=torch.float16):
            loss = net(x).float().square().mean()
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    if guard is not None:
        guard.remove()
    return [p.detach() for p in net.parameters()], scales, guard


@pytest.mark.parametrize("fused", [False, True])
def test_its_skips_are_not_counted_and_not_doubled(fused: bool) -> None:
    bare, scales, _ = train(fused, None)
    guarded, same, guard = train(fused, {"skip": True, "clip": "norm:1e9"})
    assert scales == same and scales[7] < scales[0]  # it did search
    assert guard.actions == () and all(map(torch.equal, bare, guarded))


def test_clipping_is_of_unscaled_gradients() -> None:
    """Both kinds of optimizer, one that the scaler unscales for and one that unscales itself, are clipped alike."""
    plain, _, _ = train(False, {"clip": "norm:0.05"})
    fused, _, _ = train(True, {"clip": "norm:0.05"})
    bare, _, _ = train(False, None)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(plain, fused, strict=True))
    assert not all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(plain, bare, strict=True))
