"""A positive quantity over the steps, in logarithms: what is usual, how fast it grows, when it is too large.

What is not finite or not positive is left out, so one bad step does not blind the statistics. Median and median
absolute deviation, because one outlier must not either.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

WINDOW = 64


def about(steps: float) -> str:
    """In words."""
    return f"about {steps:.0f} step{'' if round(steps) == 1 else 's'}"


class Series:
    """The last `WINDOW` values of one quantity as (step, log)."""

    def __init__(self) -> None:
        self.points: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self.first: list[float] = []  # logarithms of the first eight
        self.highest = -math.inf  # logarithm of the largest value before the last few

    def add(self, step: int, value: float) -> bool:
        """False where the value says nothing."""
        if not math.isfinite(value) or value <= 0:
            return False
        if len(self.points) >= 4:
            self.highest = max(self.highest, self.points[-4][1])
        self.points.append((step, math.log(value)))
        if len(self.first) < 8:
            self.first.append(self.points[-1][1])
        return True

    @property
    def early(self) -> float:
        """Median of the first eight values."""
        return math.exp(median(self.first))

    def z(self, value: float, least: float = 0.1) -> float:
        """Robust standard deviations of log `value` above the median; `least` is the smallest deviation taken."""
        logs = [log for _, log in self.points]
        middle = median(logs)
        return (math.log(value) - middle) / max(1.4826 * median(abs(v - middle) for v in logs), least)

    def above_median(self, value: float) -> float:
        """Factor of `value` over the median."""
        return math.exp(min(700.0, math.log(value) - median(log for _, log in self.points)))

    def rate(self, last: int) -> float:
        """Growth of the logarithm per step over the `last` points, 0.0 unless every one is above the one before."""
        recent = list(self.points)[-last:]
        if len(recent) < last or any(b[1] <= a[1] for a, b in zip(recent, recent[1:], strict=False)):
            return 0.0
        return (recent[-1][1] - recent[0][1]) / max(1, recent[-1][0] - recent[0][0])

    def steps_to(self, limit: float, last: int) -> float:
        """Steps until `limit` at the growth of the `last` points; inf where it does not grow."""
        rate = self.rate(last)
        return max(0.0, (math.log(limit) - self.points[-1][1]) / rate) if rate > 0 else math.inf
