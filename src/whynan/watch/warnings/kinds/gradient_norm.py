"""The norm of the gradients stands out from its own past, twice in a row and rising.

Robust z-score of the logarithm over the last 64 looks: six standard deviations (1.4826 times the median absolute
deviation, at least 0.1), four times the median, and above the norms of the first looks: near a minimum gradients are
tiny and their norm may well jump. One high value is noise that clipping or the next step takes care
of, and is not said; norms that stand out never enter the past.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from whynan.watch.warnings.base import Moment, Sign, Warning, warning
from whynan.watch.warnings.series import Series

DEVIATIONS, FACTOR, FIRST, ROW = 6.0, 4.0, 8, 2
CLOSER = 3.0


@warning("gradient-norm")
class GradientNorm(Warning):
    def __init__(self) -> None:
        self.past: dict[int, Series] = {}
        self.usual: dict[int, list[float]] = {}  # of each parameter, when all was well
        self.high: dict[int, list[float]] = {}

    def look(self, moment: Moment) -> Iterator[Sign]:
        for step, key, norms in moment.gradients:
            past, high = self.past.setdefault(key, Series()), self.high.setdefault(key, [])
            value = math.hypot(*norms)
            if not math.isfinite(value) or value <= 0:
                continue
            known = len(past.points) >= FIRST
            z = past.z(value) if known else 0.0
            if z > CLOSER:
                yield Sign("", value=0.0)  # look at all gradients of the next steps, but not at activations
            rises = past.above_median(value) > FACTOR and value > past.early if known else False
            if z > DEVIATIONS and rises and (not high or value >= high[-1]):
                high.append(value)
            else:
                high.clear()
            if not high:
                past.add(step, value)
                self.usual[key] = norms
            elif len(high) >= ROW:
                name = self._most(moment, key, norms)
                where = f", most of all that of {name}" if name else ""
                yield Sign(
                    f"the norm of the gradients is {value:.3g}, {past.above_median(value):.3g} times what was usual"
                    f"{where}",
                    name,
                    value,
                )

    def _most(self, moment: Moment, key: int, norms: list[float]) -> str | None:
        before = self.usual.get(key, norms)
        if len(before) != len(norms):
            return None
        ratios = [(n / b if b > 0 else n, i) for i, (n, b) in enumerate(zip(norms, before, strict=True))]
        return moment.name(key, max(ratios)[1]) if ratios else None
