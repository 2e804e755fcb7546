"""History series as small inline SVG charts that survive NaN and Inf.

The vertical axis is logarithmic where the series is positive and spans more than two decades, else linear. Non-finite
values break the line and stand as marks at the edge: Inf at the top, -Inf at the bottom, NaN as a red line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import numbers

WIDTH, HEIGHT, MARGIN = 320, 120, 6
_DECADES = 2.0  # a wider series gets a logarithmic axis
_FLAT = 1e-3  # a series that varies by less, relatively, is drawn flat: its wiggles are no news


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One series ready for the template: polylines as SVG point lists, marks as (x, kind)."""

    title: str
    lines: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    marks: tuple[tuple[float, str], ...]
    low: str
    high: str
    first: str
    last: str
    logarithmic: bool
    latest: str


def charts(history: dict[str, list[Any]]) -> list[Chart]:
    """A chart for every series of numbers in a report's history; series without any number are left out."""
    made = []
    for name, entries in history.items():
        series = [_float(entry) for entry in entries]
        if not _is_axis(name) and any(value is not None for value in series):
            made.append(_chart(name, series, _steps(name, history)))
    return made


def _is_axis(name: str) -> bool:
    return name in ("step", "iteration") or name.endswith("_step")


def _steps(name: str, history: dict[str, list[Any]]) -> Sequence[Any]:
    """The step numbers of a series: loss_step for loss, param_step for param_norm, else the common one."""
    names = (f"{name}_step", f"{name.split('_')[0]}_step", "step", "iteration")
    return next((history[n] for n in names if n in history and len(history[n]) == len(history[name])), ())


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _chart(title: str, series: Sequence[float | None], steps: Sequence[Any]) -> Chart:
    finite = [value for value in series if value is not None and math.isfinite(value)]
    logarithmic = bool(finite) and min(finite) > 0 and math.log10(max(finite)) - math.log10(min(finite)) > _DECADES
    scaled = [math.log10(value) if logarithmic else value for value in finite]
    low, high = (min(scaled), max(scaled)) if scaled else (0.0, 0.0)
    if not logarithmic and high / 2 - low / 2 < _FLAT * max(abs(low), abs(high)) / 2:
        low = high
    runs: list[list[tuple[float, float]]] = [[]]
    marks: list[tuple[float, str]] = []
    for i, value in enumerate(series):
        x = MARGIN + (WIDTH - 2 * MARGIN) * (i / (len(series) - 1) if len(series) > 1 else 0.5)
        if value is None or not math.isfinite(value):
            runs.append([])
            if value is not None:
                marks.append((round(x, 1), numbers.number(value)))
            continue
        runs[-1].append((round(x, 1), round(_y(math.log10(value) if logarithmic else value, low, high), 1)))
    return Chart(
        title=title,
        lines=tuple(" ".join(f"{x},{y}" for x, y in run) for run in runs if len(run) > 1),
        dots=tuple(run[0] for run in runs if len(run) == 1),
        marks=tuple(marks),
        low=numbers.number(min(finite)) if finite else "",
        high=numbers.number(max(finite)) if finite else "",
        first=_label(steps, 0),
        last=_label(steps, len(series) - 1),
        logarithmic=logarithmic,
        latest=numbers.number(next(_known(reversed(series)), None)),
    )


def _y(value: float, low: float, high: float) -> float:
    """Pixels from the top. Halves first: the range of two huge finite numbers may itself be infinite."""
    span = high / 2 - low / 2
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * ((value / 2 - low / 2) / span if span > 0 else 0.5)


def _known(series: Iterator[float | None]) -> Iterator[float]:
    return (value for value in series if value is not None)


def _label(steps: Sequence[Any], i: int) -> str:
    return f"step {steps[i]}" if i < len(steps) else f"entry {i}"
