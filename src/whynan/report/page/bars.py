"""A histogram as bars with its numerical edge. Only geometry; the template draws.

On a linear axis a bar is as wide as its interval; on the others every bar is equally wide, because their intervals grow
by powers of ten. Bars of one element stay visible.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from ...case.facts import Histogram
from .. import numbers
from .scale import scaled, span, ticks

WIDTH, HEIGHT = 520, 200
LEFT, RIGHT, TOP, BOTTOM = 12, 12, 30, 26
Place = Callable[[float], float]  # from a value to pixels from the left

_THINNEST = 3.0  # pixels of height for a count above zero
_NEAR = 0.6  # an edge so many widths of the histogram away still gets its place on the axis


@dataclass(frozen=True, kw_only=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    count: int
    text: str  # the interval in words
    lost: bool  # beyond the edge


@dataclass(frozen=True, kw_only=True)
class Bars:
    """The drawing. `edge` is the place of the numerical edge, None where it is too far away on the `far` side."""

    histogram: Histogram
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    edge: float | None
    far: str | None  # "left" or "right"
    lost: tuple[float, float] | None  # the stretch of the axis beyond the edge
    total: int
    summary: str


def bars(histogram: Histogram) -> Bars | None:
    """The drawing of a histogram, None where there is nothing to draw."""
    h = histogram
    if len(h.bounds) != len(h.counts) + 1 or not h.counts or not all(map(math.isfinite, h.bounds)):
        return None
    if any(a >= b for a, b in zip(h.bounds, h.bounds[1:])):
        return None
    place, ends, edge, far = _axis(h)
    highest = max(max(h.counts), 1)
    drawn = []
    for i, count in enumerate(h.counts):
        x, right = place(h.bounds[i]), place(h.bounds[i + 1])
        height = max(_THINNEST, (HEIGHT - TOP - BOTTOM) * count / highest) if count else 0.0
        drawn.append(
            Bar(
                x=round(x + 0.5, 1),
                y=round(HEIGHT - BOTTOM - height, 1),
                width=round(max(right - x - 1, 1.0), 1),
                height=round(height, 1),
                count=count,
                text=f"{numbers.number(h.bounds[i])} to {numbers.number(h.bounds[i + 1])}",
                lost=_lost(h, i),
            )
        )
    lost = None
    if edge is not None and h.beyond in ("below", "above"):
        lost = (LEFT, edge) if h.beyond == "below" else (edge, WIDTH - RIGHT)
    return Bars(
        histogram=h,
        bars=tuple(drawn),
        ticks=tuple(_ticks(h, place, ends)),
        edge=edge,
        far=far,
        lost=lost,
        total=sum(h.counts),
        summary=summary(h),
    )


def summary(h: Histogram) -> str:
    """The histogram in a sentence."""
    low, high = numbers.number(h.bounds[0]), numbers.number(h.bounds[-1])
    parts = [f"{sum(h.counts):,} finite values of {h.name} from {low} to {high}"]
    if h.zeros:
        parts.append(f"{h.zeros:,} exactly 0")
    if h.nonfinite:
        parts.append(f"{h.nonfinite:,} not finite")
    if h.edge is not None:
        parts.append(f"edge at {numbers.number(h.edge)}" + (f" ({h.edge_label})" if h.edge_label else ""))
    return ", ".join(parts)


def _axis(h: Histogram) -> tuple[Place, tuple[float, float], float | None, str | None]:
    """A function from values to places, the ends of the axis, the place of the edge, and its side if it is far."""
    low, high = h.bounds[0], h.bounds[-1]
    if h.axis == "linear" and math.isfinite(high - low):
        if h.edge is not None and math.isfinite(h.edge) and low - h.edge < _NEAR * (high - low) > h.edge - high:
            low, high = span([min(low, h.edge), max(high, h.edge)]) if not low < h.edge < high else (low, high)
        place = _in_proportion(low, high)
    else:
        place = _by_index(h)
    if h.edge is None or not math.isfinite(h.edge):
        return place, (low, high), None, None
    if low <= h.edge <= high:
        return place, (low, high), round(place(h.edge), 1), None
    return place, (low, high), None, "left" if h.edge < low else "right"


def _in_proportion(low: float, high: float) -> Place:
    return lambda value: LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)


def _by_index(h: Histogram) -> Place:
    """Every interval equally wide; inside one, a value lies where its logarithm says, or in proportion next to zero."""

    bounds = h.bounds

    def place(value: float) -> float:
        i = min(max(bisect_right(bounds, value) - 1, 0), len(bounds) - 2)
        low, high = bounds[i], bounds[i + 1]
        axis = "log" if h.axis == "log" or low * high > 0 else "linear"
        if axis == "log" and value * low > 0:
            a, b, v = (scaled(abs(x), "log") for x in (low, high, value))
        else:
            a, b, v = low / 2, high / 2, value / 2
        share = (v - a) / (b - a) if b != a else 0.0
        return LEFT + (WIDTH - LEFT - RIGHT) * (i + min(max(share, 0.0), 1.0)) / (len(bounds) - 1)

    return place


def _lost(h: Histogram, i: int) -> bool:
    """Whether a bar lies beyond the edge, or holds the zeros where the edge is at zero."""
    if h.edge is None:
        return False
    low, high = h.bounds[i], h.bounds[i + 1]
    if h.edge == 0 and h.zeros and low <= 0 < high:
        return True
    if h.beyond == "below":
        return high <= h.edge
    if h.beyond == "above":
        return low >= h.edge
    return h.beyond == "at" and low <= h.edge < high


def _ticks(h: Histogram, place: Place, ends: tuple[float, float]) -> list[tuple[float, str]]:
    if h.axis == "linear" and math.isfinite(ends[1] - ends[0]):
        return [(round(place(value), 1), text) for value, text in ticks(*ends, about=6)]
    round_ones = [value for value in h.bounds if value == 0 or abs(math.log10(abs(value)) % 1 - 0.5) > 0.4999]
    chosen = round_ones if len(round_ones) > 2 else list(h.bounds)
    every = math.ceil(len(chosen) / 7)
    return [(round(place(value), 1), numbers.number(value)) for value in chosen[::every]]
