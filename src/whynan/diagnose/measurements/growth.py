"""E8 across steps: did loss, gradients or parameters grow, evenly over many steps or all at once at the end?

A learning rate that is too high multiplies them by about the same factor in every step (10^3 a step in our run, 169 in
the corpus); a sudden fault leaves them where they were (last gradient norm 0.3 to 1.2 of the median, MEASUREMENTS 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from whynan.diagnose.inquest import Inquest, measurement
from whynan.watch.history import total

WINDOW = 12  # latest values


@dataclass(frozen=True)
class Series:
    """`factor`: geometric mean growth per step over the last `n` values; `total`: last over the first of them;

    `jump`: last over the median of all before it; `rising`: share of steps that grew; `even`: share of the growth that
    was there before the last two steps.
    """

    name: str
    n: int
    factor: float
    total: float
    jump: float
    rising: float
    even: float
    first: float
    last: float


@dataclass(frozen=True)
class Growth:
    loss: Series | None
    grad: Series | None
    param: Series | None

    @property
    def strongest(self) -> Series | None:
        found = [s for s in (self.loss, self.grad, self.param) if s is not None]
        return max(found, key=lambda s: s.total, default=None)

    @property
    def geometric(self) -> Series | None:
        """A series that grew by a factor in most steps, and by a lot altogether."""
        found = [s for s in (self.grad, self.loss, self.param) if s is not None and is_geometric(s)]
        return max(found, key=lambda s: s.total, default=None)


def is_geometric(s: Series) -> bool:
    # 1000 in all and 1.3 a step: well above what training noise does (in our 7 sudden cases: 0.92 to 1.06 a step)
    return s.n >= 3 and s.total > 1e3 and s.factor > 1.3 and s.rising > 0.6


@measurement
def growth(inquest: Inquest) -> Growth | None:
    history = inquest.history
    if history is None:
        return None
    born = inquest.birth.step if inquest.birth is not None else inquest.step
    loss = series("the loss", (abs(v) for s, v in history.loss if s <= born))
    grads, params = {}, {}
    for s, who, norms in history.grad_norms:
        if s <= born:
            grads.setdefault(who, []).append(total(norms))
    for s, who, norms in history.param_norms:
        if s <= born:
            params.setdefault(who, []).append(total(norms))
    return Growth(
        loss,
        _largest(series("the gradient norm", v) for v in grads.values()),
        _largest(series("the parameter norm", v) for v in params.values()),
    )


def _largest(found: Iterable[Series | None]) -> Series | None:
    return max((s for s in found if s is not None), key=lambda s: s.total, default=None)


def series(name: str, values: Iterable[float]) -> Series | None:
    """None for fewer than two finite positive values."""
    numbers = [float(v) for v in values if math.isfinite(v) and v > 0]
    if len(numbers) < 2:
        return None
    start = _onset(numbers)
    window = numbers[max(start, len(numbers) - 4 * WINDOW) :]
    n = len(window)
    whole = math.log(window[-1]) - math.log(window[0])
    steps = [math.log(b) - math.log(a) for a, b in zip(window, window[1:], strict=False)]
    early = math.log(window[-3]) - math.log(window[0]) if n > 3 else 0.0
    return Series(
        name=name,
        n=n,
        factor=_exp(whole / max(1, n - 1)),
        total=_exp(whole),
        jump=numbers[-1] / median(numbers[:-1]),
        rising=sum(d > 0 for d in steps) / len(steps),
        even=early / whole if whole > 0 else 0.0,
        first=window[0],
        last=window[-1],
    )


def _onset(numbers: list[float]) -> int:
    """Where the final growth began: the last value that was no larger than twice the smallest of the latest ones."""
    recent = numbers[-4 * WINDOW :]
    offset = len(numbers) - len(recent)
    low = min(recent)
    place = max(i for i, v in enumerate(recent) if v <= 2 * low)
    return offset + min(place, len(recent) - 2)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
