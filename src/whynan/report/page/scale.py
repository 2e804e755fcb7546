"""Axes for numbers of any size: linear, logarithmic, or logarithmic on both sides of zero, with round ticks.

The scripts of the page know the same three transformations (`assets/js/numbers.js`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from .. import numbers

Axis = Literal["linear", "log", "symlog"]

_DECADES = 2.0  # a wider positive series gets a logarithmic axis
_EXTREME = 1e30  # beyond it, and below its inverse, differences of floats overflow or vanish
_HUGE = 1e6  # beyond it a series with negative values would be flat on a linear axis
_WHOLE = (1.0, 2.0, 3.0, 5.0, 6.0, 8.0, 10.0, 20.0, 50.0, 100.0, 200.0)  # decades between two ticks
_FLAT = 1e-3  # a series that varies by less, relatively, is drawn flat: its wiggles are no news
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def choose(values: Sequence[float]) -> Axis:
    """The axis that shows finite `values` best. Zeros do not keep a series off the logarithmic axis."""
    positive = [value for value in values if value > 0]
    if positive and min(values) >= 0:
        wide = math.log10(max(positive)) - math.log10(min(positive)) > _DECADES
        return "log" if wide or not 1 / _EXTREME < max(positive) < _EXTREME else "linear"
    return "symlog" if any(abs(value) > _HUGE for value in values) else "linear"


def scaled(value: float, axis: Axis) -> float:
    """Where a finite value lies on the axis, in its own units; log takes positive values only."""
    if axis == "log":
        return math.log10(value)
    if axis == "symlog":
        return math.copysign(math.log10(1 + abs(value)), value)
    return value


def span(positions: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis around `positions`, with a little air; an almost constant series lies in the middle."""
    if not positions:
        return 0.0, 1.0
    low, high = min(positions), max(positions)
    if high - low <= _FLAT * max(abs(low), abs(high)):
        air = max(abs(low), abs(high)) * 0.1 or 1.0
        return low - air, high + air
    air = (high - low) * 0.06
    return low - air, high + air


def ticks(low: float, high: float, axis: Axis = "linear", about: int = 4) -> list[tuple[float, str]]:
    """(position, label) of round numbers between two positions of the axis."""
    apart = (high - low) / about if high > low else 1.0
    step = _round_up(apart) if axis == "linear" else next((d for d in _WHOLE if d >= apart), _WHOLE[-1])
    first = math.ceil(low / step - 1e-9)
    found = [k * step for k in range(first, first + about * 3) if k * step <= high + step * 1e-9]
    return [(position, label(position, axis, step)) for position in found]


def label(position: float, axis: Axis, step: float = 0.0) -> str:
    """What a tick says."""
    if axis == "linear":
        return _plain(0.0 if abs(position) < step * 1e-6 else position, step)
    if axis == "symlog" and position == 0:
        return "0"
    sign = "-" if axis == "symlog" and position < 0 else ""
    exponent = abs(position) if axis == "symlog" else position
    return f"{sign}10{str(round(exponent)).translate(_SUPERSCRIPTS)}"


def _plain(value: float, step: float) -> str:
    """A number with as many digits as tell it from the next tick."""
    if value == 0 or not step >= 1e-4 or abs(value) >= 1e5:
        return numbers.number(float(f"{value:.6g}"))
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next((k * power for k in (1, 2, 5) if k * power >= value * 0.999), 10 * power)
