"""Another rule for the update: Adam's in the place of SGD's, the mean over micro-batches in the place of the sum."""

from __future__ import annotations

from typing import Any

import torch

from whynan.diagnose.counterfactuals.base import around_steps, experiment
from whynan.diagnose.inquest import Inquest
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot

RATE, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8  # torch.optim.Adam's own
PLAIN = {"momentum": 0.0, "weight_decay": 0.0, "nesterov": False, "dampening": 0.0, "lr": RATE}


def _uses_sgd(inquest: Inquest) -> bool:
    return any(type(o) is torch.optim.SGD for o in inquest.optimizers)


@experiment("adam", "with Adam's update (rate 1e-3) in the place of SGD's", start="early", applies=_uses_sgd)
def adam_instead(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    """Plain SGD with rate 1e-3 along Adam's direction (Kingma and Ba 2015, algorithm 1) takes Adam's step."""
    moments: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    counts: dict[int, int] = {}
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def before(optimizer: Any) -> None:
        if type(optimizer) is not torch.optim.SGD:
            return
        count = counts[id(optimizer)] = counts.get(id(optimizer), 0) + 1
        for group in optimizer.param_groups:
            kept.append((group, {k: group[k] for k in PLAIN if k in group}))
            group.update({k: v for k, v in PLAIN.items() if k in group})
            for p in group["params"]:
                if p.grad is not None:
                    _along_adam(p, moments, count)

    def after(optimizer: Any) -> None:
        while kept:
            group, values = kept.pop()
            group.update(values)

    return Attempt(snapshot=snapshot, until=until, around=lambda index: around_steps(inquest, before, after))


@torch.no_grad()
def _along_adam(p: torch.Tensor, moments: dict[int, tuple[torch.Tensor, torch.Tensor]], count: int) -> None:
    assert p.grad is not None
    if id(p) not in moments:
        moments[id(p)] = torch.zeros_like(p), torch.zeros_like(p)
    m, v = moments[id(p)]
    m.lerp_(p.grad, 1 - BETAS[0])
    v.mul_(BETAS[1]).addcmul_(p.grad, p.grad, value=1 - BETAS[1])
    root = (v / (1 - BETAS[1] ** count)).sqrt_().add_(EPS)
    p.grad.copy_(m / (1 - BETAS[0] ** count) / root)


def _passes_per_step(inquest: Inquest) -> int:
    """Backward passes between two steps, as they were counted up to the failure."""
    watcher = inquest.watcher
    if watcher is None or inquest.step < 2:
        return 1
    return round(watcher.sentinel.backwards / max(1, inquest.step))


def _accumulates(inquest: Inquest) -> bool:
    return len(inquest.optimizers) == 1 and _passes_per_step(inquest) > 1


@experiment(
    "mean-of-parts",
    "with the gradients of each step divided by the number of backward passes in it",
    start="early",
    applies=_accumulates,
)
def mean_of_parts(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    parts = _passes_per_step(inquest)

    def before(optimizer: Any) -> None:
        with torch.no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.grad.div_(parts)

    return Attempt(snapshot=snapshot, until=until, around=lambda index: around_steps(inquest, before))
