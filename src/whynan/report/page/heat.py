"""Layers by steps as levels of colour."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ...case.facts import Layers
from .. import numbers

LEVELS = 9  # h0 to h8 of the style sheet
MOST_ROWS, MOST_COLUMNS = 40, 40
_FLAT = 0.02  # decades, about five percent: colours of a narrower table would show noise
LAST = 12  # the last steps are never thinned


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number. `kind` is a class of the style sheet: h0 to h8 by size, "bad" if not finite, "none" if unknown."""

    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Heat:
    """Layers by steps: `rows` of `layers` many; the colours run from `low` to `high`."""

    what: str
    steps: tuple[int, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    layers: int
    low: str
    high: str
    flat: bool  # all of about one size
    bad: bool  # some are not finite


def heat(layers: Layers) -> Heat | None:
    """The table with as many rows and columns as can be seen: bad layers first, then those that changed most."""
    if not layers.names or not layers.steps or not any(layers.values):
        return None
    columns = _columns(len(layers.steps))
    rows = [
        (name, [row[j] if j < len(row) else None for j in columns]) for name, row in zip(layers.names, layers.values)
    ]
    if len(rows) > MOST_ROWS:
        worst = sorted(range(len(rows)), key=lambda i: -_change(rows[i][1]))[:MOST_ROWS]
        rows = [rows[i] for i in sorted(worst)]
    sizes = [_sizes(layers.what, row) for _, row in rows]
    low, high = span_of(size for row in sizes for size in row)
    return Heat(
        what=layers.what,
        steps=tuple(layers.steps[j] for j in columns),
        rows=tuple(
            (name, tuple(cell(value, size, low, high) for value, size in zip(row, own)))
            for (name, row), own in zip(rows, sizes)
        ),
        layers=len(layers.names),
        low=_legend(layers.what, low),
        high=_legend(layers.what, high),
        flat=not _width(low, high) > _FLAT,
        bad=any(value is not None and not math.isfinite(value) for _, row in rows for value in row),
    )


def _sizes(what: str, row: list[float | None]) -> list[float | None]:
    """What the colours of a row stand for: the values, but for weight norms their change, as multiples of the first.

    The norms of layers differ by their shapes, which tells nothing; how much each one grew does.
    """
    first = next((value for value in row if value and math.isfinite(value)), None)
    if what != "weight norm" or first is None:
        return row
    return [value / first if value is not None else None for value in row]


def _legend(what: str, size: float) -> str:
    if not size:
        return ""
    return f"{size:.4g} times the first" if what == "weight norm" else numbers.number(size)


def _columns(length: int) -> list[int]:
    """Positions of the columns to show: the last ones all, the others evenly."""
    if length <= MOST_COLUMNS:
        return list(range(length))
    early, room = length - LAST, MOST_COLUMNS - LAST
    return [i * early // room for i in range(room)] + list(range(early, length))


def _change(row: list[float | None]) -> float:
    """How interesting a row is: infinite if anything is bad, else the decades between its extremes."""
    known = [value for value in row if value is not None]
    if not all(map(math.isfinite, known)):
        return math.inf
    positive = [abs(value) for value in known if value]
    return math.log10(max(positive)) - math.log10(min(positive)) if positive else -1.0


def span_of(values: Iterable[float | None]) -> tuple[float, float]:
    """The smallest and largest size above zero; (0, 0) if there is none."""
    known = [abs(value) for value in values if value is not None and math.isfinite(value) and value]
    return min(known, default=0.0), max(known, default=0.0)


def _width(low: float, high: float) -> float:
    """Decades between two sizes."""
    return math.log10(high) - math.log10(low) if low else 0.0


def cell(value: float | None, size: float | None, low: float, high: float) -> Cell:
    """The cell of a value whose colour stands for `size`."""
    if value is None or size is None:
        return Cell(kind="none", text="")
    text = numbers.number(value)
    if not math.isfinite(value):
        return Cell(kind="bad", text=text)
    if not size or not math.isfinite(size):
        return Cell(kind="h8" if size else "h0", text=text)
    width = _width(low, high)
    share = (math.log10(abs(size)) - math.log10(low)) / width if width > _FLAT else 0.25
    return Cell(kind=f"h{round(share * (LEVELS - 1))}", text=text)
