"""Limit the norm of the gradients to what their own past says is usual.

`percentile:95`: at most the 95th percentile of the norms so far (AutoClip, Seetharaman et al. 2020, arXiv:2007.14469).
`zscore:3`: at most three robust standard deviations (1.4826 times the median absolute deviation) of the logarithm
above its median. `norm:1.0`: a fixed limit. The past are the norms before clipping of the latest `WINDOW` updates; what
is not finite never enters it. Nothing is done before `FIRST` of them are known.
"""

from __future__ import annotations

import math
from statistics import median

from whynan.guard.policy import Policy, Update, policy
from whynan.guard.settings import method

FIRST = 20
WINDOW = 200


@policy("clip", order=1, wanted=lambda settings: settings.clip)
class Clip(Policy):
    def update(self, update: Update) -> None:
        limit = limit_of(self.settings.clip or "", update.past)
        if limit is None or not math.isfinite(update.norm) or update.norm <= limit or update.held:
            return
        update.factor = limit / update.norm


def limit_of(clip: str, past: list[float]) -> float | None:
    """The largest norm that is let through, or None while too little is known."""
    name, value = method(clip)
    if name == "norm":
        return value
    known = past[-WINDOW:]
    if len(known) < FIRST:
        return None
    if name == "percentile":
        ordered = sorted(known)
        return ordered[min(len(ordered) - 1, int(len(ordered) * value / 100))]
    logs = [math.log(n) for n in known if n > 0]
    if len(logs) < FIRST:
        return None
    middle = median(logs)
    spread = 1.4826 * median(abs(v - middle) for v in logs)
    return math.exp(middle + value * max(spread, 0.05))  # at least 5 %: norms may hardly change for a while
