"""Adam's memory of the squared gradients is stale: the gradients are many times what it divides by.

The square root of the sum of g^2 over the sum of v, both of a whole parameter, is about 1 in training that goes well;
steps are too large by this factor. In the literature the per-element form of it runs ahead of loss spikes by one to
eight steps (Wortsman et al. 2023, arXiv:2304.13013, "RMS spikes"). Looked at when gradients are, in every fourth look.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from whynan.watch.warnings.base import Moment, Sign, Warning, warning

RATIO, ROW, FIRST, EVERY = 8.0, 2, 20, 4


@warning("adam-rms")
class AdamRms(Warning):
    def __init__(self) -> None:
        self.looks = 0
        self.row: dict[int, int] = {}

    def look(self, moment: Moment) -> Iterator[Sign]:
        for _, key, norms in moment.gradients[-1:]:
            self.looks += 1
            optimizer: Any = moment.optimizer(key)
            if self.looks % (EVERY if not self.row.get(key) else 1) or optimizer is None:
                continue
            found = _ratios(optimizer, norms)
            worst = max(found, default=(0.0, 0))
            self.row[key] = self.row.get(key, 0) + 1 if worst[0] > RATIO else 0
            if self.row[key] >= ROW:
                name = moment.name(key, worst[1])
                yield Sign(
                    f"the gradients of {name or 'a parameter'} are {worst[0]:.2g} times what Adam's second moment "
                    "remembers: its next steps are too large by that",
                    name,
                    worst[0],
                )


def _ratios(optimizer: Any, norms: list[float]) -> list[tuple[float, int]]:
    """(ratio, position in the optimizer) of the parameters with a second moment; `norms` of those with a gradient."""
    params, betas = [], []
    for group in optimizer.param_groups:
        for p in group["params"]:
            params.append(p)
            betas.append(group.get("betas", (0.0, 0.0))[1])
    with_grad = [i for i, p in enumerate(params) if p.grad is not None]
    if len(with_grad) != len(norms):
        return []
    states = [optimizer.state.get(p) or {} for p in params]
    known = [(i, n) for i, n in zip(with_grad, norms, strict=True) if "exp_avg_sq" in states[i]]
    seconds: list[Tensor] = [optimizer.state[params[i]]["exp_avg_sq"] for i, _ in known]
    if not seconds or any(v.device.type != "cpu" or v.is_sparse for v in seconds):
        return []
    sums = torch.stack(torch._foreach_norm(seconds, 1, dtype=torch.float64)).tolist()
    found = []
    for (i, norm), total in zip(known, sums, strict=True):
        step = float(optimizer.state[params[i]].get("step", 0))
        corrected = total / (1 - betas[i] ** step) if step >= FIRST and 0 < betas[i] < 1 else math.inf
        if math.isfinite(norm) and norm > 0 and corrected > 0:
            found.append((norm / math.sqrt(corrected), i))
    return found
