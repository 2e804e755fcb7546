"""The history of a report as series that can be drawn: known steps, thinned, non-finite values apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .scale import Axis, choose, scaled, span

BUCKETS = 250  # a longer series is thinned to the extremes of so many stretches

# dtype -> largest finite value, IEEE 754 and bfloat16
LIMITS = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38}

_TITLES = {
    "loss": "Loss",
    "grad_norm": "Gradient norm",
    "grad_absmax": "Largest gradient",
    "grad_absmin": "Smallest gradient",
    "param_norm": "Weight norm",
    "weight_norm": "Weight norm",
    "update_ratio": "Update / weight",
    "absmax": "Largest value",
    "lr": "Learning rate",
    "loss_scale": "Loss scale",
}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """`count` values of one kind that have no place on the axis, between two steps (both included)."""

    first: float
    last: float
    kind: str  # "NaN", "Inf", "-Inf", or "0" on a logarithmic axis
    count: int


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series. `points` are (step, value) in order of steps; None stands for a mark, and breaks the line."""

    name: str
    title: str
    unit: str  # of the horizontal axis: "step" or "entry"
    points: tuple[tuple[float, float | None], ...]
    marks: tuple[Mark, ...]
    axis: Axis
    low: float  # ends of the vertical axis, in its units
    high: float
    smallest: float | None
    largest: float | None
    latest: float
    length: int
    limit: float | None = None  # largest finite value of the dtype, where the axis reaches that far


def series(history: dict[str, list[Any]], dtype: str | None = None) -> list[Series]:
    """Every series of numbers in a report's history, the known ones first; those without any number are left out.

    `dtype` (as torch names it) gives absmax its limit.
    """
    made = []
    for name, entries in history.items():
        values = [_float(entry) for entry in entries]
        if not _is_axis(name) and any(value is not None for value in values):
            made.append(_series(name, values, steps_of(name, history), dtype))
    order = list(_TITLES)
    return sorted(made, key=lambda one: order.index(one.name) if one.name in order else len(order))


def steps_of(name: str, history: dict[str, list[Any]]) -> list[float] | None:
    """The steps of a series: loss_step for loss, param_step for param_norm, else the common ones; or None."""
    length = len(history[name])
    for key in (f"{name}_step", f"{name.split('_')[0]}_step", "step", "iteration"):
        steps = [_float(step) for step in history.get(key, ())]
        known = [step for step in steps if step is not None and abs(step) < 2**53]
        if len(known) == length and all(a <= b for a, b in zip(known, known[1:])):
            return known
    return None


def _series(name: str, values: list[float | None], steps: list[float] | None, dtype: str | None) -> Series:
    xs = steps or [float(i) for i in range(len(values))]
    known = [(x, value) for x, value in zip(xs, values) if value is not None]  # what was not measured breaks no line
    xs, measured = [x for x, _ in known], [value for _, value in known]
    finite = [value for value in measured if math.isfinite(value)]
    axis = choose(finite)
    drawable = [value for value in finite if axis != "log" or value > 0]
    limit = _limit(name, dtype, drawable)
    low, high = span([scaled(value, axis) for value in (*drawable, *((limit,) if limit else ()))])
    kinds = [_kind(value, axis) for value in measured]
    return Series(
        name=name,
        title=_TITLES.get(name, name),
        unit="step" if steps else "entry",
        points=_thinned([(x, None if kind else value) for x, value, kind in zip(xs, measured, kinds)]),
        marks=_marks([(x, kind) for x, kind in zip(xs, kinds) if kind]),
        axis=axis,
        low=low,
        high=high,
        smallest=min(finite, default=None),
        largest=max(finite, default=None),
        latest=measured[-1],
        length=len(measured),
        limit=limit,
    )


def _limit(name: str, dtype: str | None, values: Sequence[float]) -> float | None:
    """The limit is drawn where the values come half of the way to it, in decades; else it would flatten the rest."""
    limit = LIMITS.get((dtype or "").removeprefix("torch."))
    if limit is None or "absmax" not in name or not values:
        return None
    return limit if max(values) > 0 and math.log10(max(values)) > math.log10(limit) / 2 else None


def _kind(value: float, axis: Axis) -> str | None:
    if not math.isfinite(value):
        return "NaN" if value != value else "Inf" if value > 0 else "-Inf"
    return "0" if axis == "log" and value == 0 else None


def _thinned(points: list[tuple[float, float | None]]) -> tuple[tuple[float, float | None], ...]:
    """At most four points of every stretch: its first gap, its extremes and its last point."""
    if len(points) <= 4 * BUCKETS:
        return tuple(points)
    kept: list[int] = []
    for b in range(BUCKETS):
        stretch = range(b * len(points) // BUCKETS, (b + 1) * len(points) // BUCKETS)
        known = [(value, i) for i in stretch if (value := points[i][1]) is not None]
        gap = next((i for i in stretch if points[i][1] is None), stretch[0])
        kept += sorted({gap, stretch[-1], *(pick(known)[1] for pick in (min, max) if known)})
    return tuple(points[i] for i in kept)


def _marks(found: list[tuple[float, str]]) -> tuple[Mark, ...]:
    """All values without a place; those of one kind in one stretch of the axis are one mark with a count."""
    if not found:
        return ()
    width = (found[-1][0] - found[0][0]) / BUCKETS if len(found) > BUCKETS else 0.0
    marks: dict[tuple[float, str], Mark] = {}
    for x, kind in found:
        key = ((x - found[0][0]) // width if width else x, kind)
        seen = marks.get(key, Mark(first=x, last=x, kind=kind, count=0))
        marks[key] = Mark(first=seen.first, last=x, kind=kind, count=seen.count + 1)
    return tuple(marks.values())


def _is_axis(name: str) -> bool:
    return name in ("step", "iteration") or name.endswith("_step")


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
