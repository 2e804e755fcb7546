"""E8 across steps: did loss, gradients or parameters grow, evenly over many steps or all at once at the end?

A learning rate that is too high multiplies them by about the same factor in every step (10^3 a step in our run, 169
in the corpus); a sudden fault leaves them where they were (last gradient norm 0.3 to 1.2 of the median,
MEASUREMENTS 3.3)."""

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
    if s.n >= 10 and s.rising > 0.9 and s.total > 10 and s.factor > 1.02:
        return True  # slow, but step after step
    return s.n >= 3 and s.total > 1e3 and s.factor > 1.3 and s.rising > 0.6


@measurement
def growth(inquest: Inquest) -> Growth | None:
    history = inquest.history
    if history is None:
        return None
    born = inquest.birth.step if inquest.birth is not None else inquest.step
    by_hand = len({s for _, s, _ in history.loss}) == 1  # no optimizer counts steps: every backward is one
    loss = series("the loss", [(b if by_hand else s, abs(v)) for b, s, v in history.loss if s <= born])
    grads: dict[int, list[tuple[int, float]]] = {}
    params: dict[int, list[tuple[int, float]]] = {}
    for s, who, norms in history.grad_norms:
        if s <= born:
            grads.setdefault(who, []).append((s, total(norms)))
    for s, who, norms in history.param_norms:
        if s <= born:
            params.setdefault(who, []).append((s, total(norms)))
    return Growth(
        loss,
        _largest(series("the gradient norm", v) for v in grads.values()),
        _largest(series("the parameter norm", v) for v in params.values()),
    )


def _largest(found: Iterable[Series | None]) -> Series | None:
    return max((s for s in found if s is not None), key=lambda s: s.total, default=None)


def series(name: str, values: Iterable[tuple[int, float]]) -> Series | None:
    """From (step, value) pairs. None for fewer than two finite positive values."""
    points = [(s, float(v)) for s, v in values if math.isfinite(v) and v > 0]
    if len(points) < 2:
        return None
    numbers = [v for _, v in points]
    start = max(_onset(numbers), len(numbers) - 4 * WINDOW)
    window = numbers[start:]
    logs = [math.log(v) for v in window]
    whole = logs[-1] - logs[0]
    rises = [b - a for a, b in zip(logs, logs[1:], strict=False)]
    early = logs[-3] - logs[0] if len(logs) > 3 else 0.0
    # several values a step (micro-batches), or one every few steps: growth is counted per step
    steps = max(1, points[-1][0] - points[start][0])
    return Series(
        name=name,
        n=len(window),
        factor=_exp(whole / steps),
        total=_exp(whole),
        jump=numbers[-1] / median(numbers[:-1]),
        rising=sum(d > 0 for d in rises) / len(rises),
        even=early / whole if whole > 0 else 0.0,
        first=window[0],
        last=window[-1],
    )


def _onset(numbers: list[float]) -> int:
    """Where the final growth began: the last value that was no larger than twice the smallest of the latest ones."""
    recent = numbers[-4 * WINDOW :]
    low = min(recent)
    place = max(i for i, v in enumerate(recent) if v <= 2 * low)
    return len(numbers) - len(recent) + min(place, len(recent) - 2)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
