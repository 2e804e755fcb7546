"""The loss or the norm of all gradients grows from step to step, and will soon be too large for float32.

Said when the value is above 1, a hundred times what was usual and ten times the largest before, grew at each of the
last looks, and reaches the limit within a hundred steps if it goes on like this. The limit of a gradient is the square
root of the largest float32, because Adam and every norm square it. Slow growth is said when it has made a millionfold
of the first values. (Exploding gradients: Pascanu et al. 2013, arXiv:1211.5063.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from whynan.watch.warnings.base import Moment, Sign, Warning, warning
from whynan.watch.warnings.series import Series, about

LARGEST = 3.4e38  # float32
SQUARES = 1.8e19
RECENT, EIGHTH = 32, 8
FACTOR, LOOKS, STEPS = 100.0, 4, 100.0
MILLIONFOLD, SLOW_LOOKS, SLOW_STEPS = math.log(1e6), 16, 400.0


@warning("growth")
class Growth(Warning):
    def __init__(self) -> None:
        self.loss = Series()
        self.gradients: dict[int, Series] = {}

    def look(self, moment: Moment) -> Iterator[Sign]:
        losses = moment.losses
        if len(losses) > 2 * RECENT:  # of what is older a few are enough
            losses = losses[:-RECENT:EIGHTH] + losses[-RECENT:]
        for step, value in losses:
            yield from _judged(self.loss, step, abs(value), "the loss", LARGEST)
        for step, key, norms in moment.gradients:
            series = self.gradients.setdefault(key, Series())
            yield from _judged(series, step, math.hypot(*norms), "the norm of the gradients", SQUARES)


def _judged(series: Series, step: int, value: float, what: str, limit: float) -> Iterator[Sign]:
    if not series.add(step, value) or len(series.points) < LOOKS + 3:
        return
    log = series.points[-1][1]
    if log < max(0.0, series.highest + math.log(10)):
        return
    fast = series.above_median(value) > FACTOR and series.steps_to(limit, LOOKS) < STEPS
    slow = log - math.log(series.early) > MILLIONFOLD
    slow = slow and series.steps_to(limit, SLOW_LOOKS) < SLOW_STEPS
    if fast or slow:
        left = series.steps_to(limit, LOOKS if fast else SLOW_LOOKS)
        factor = math.exp(min(50.0, series.rate(LOOKS)))
        end = "its square overflows" if limit == SQUARES else "it overflows"
        words = f"{what} is {value:.3g} and grows by a factor of {factor:.3g} a step; at this rate {end}"
        yield Sign(f"{words} in {about(left)}", value=value)
