"""Which way the gradient points: towards smaller parameters, as for a bowl, or towards ever larger ones.

When training diverges because a step overshoots, the gradient still points inwards: it is parallel to the (large)
parameters. When the objective falls without bound, as with a penalty of the wrong sign, it points outwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from whynan.diagnose.inquest import Inquest, measurement
from whynan.diagnose.measurements.parameters import parameters_of, saved


@dataclass(frozen=True)
class Direction:
    """`cosine` between gradient and parameters at the latest usable snapshot; `falling`: the loss goes to -infinity."""

    cosine: float | None
    falling: bool


@measurement
def direction(inquest: Inquest) -> Direction:
    return Direction(_cosine(inquest), _falling(inquest))


def _cosine(inquest: Inquest) -> float | None:
    for snapshot in reversed(inquest.recorder.snapshots if inquest.recorder is not None else []):
        dot = left = right = 0.0
        held = {id(p): g for p, g in snapshot.grads if g is not None}
        for p in parameters_of(inquest):
            grad = held.get(id(p))
            g, w = saved(snapshot, grad) if grad is not None else None, saved(snapshot, p)
            if g is None or w is None or g.shape != w.shape or g.layout is not torch.strided:
                continue
            g, w = g.double(), w.double()
            if bool(torch.isfinite(g).all()) and bool(torch.isfinite(w).all()):
                dot += float((g * w).sum())
                left += float(g.square().sum())
                right += float(w.square().sum())
        if left > 0 and right > 0:
            return dot / math.sqrt(left * right)
    return None


def _falling(inquest: Inquest) -> bool:
    """The latest losses are negative and grow in size from one to the next."""
    if inquest.history is None:
        return False
    losses = [v for *_, v in inquest.history.loss if math.isfinite(v)][-8:]
    return (
        len(losses) >= 4
        and all(b < a < 0 for a, b in zip(losses, losses[1:], strict=False))
        and losses[-1] < 2 * losses[0]
    )
