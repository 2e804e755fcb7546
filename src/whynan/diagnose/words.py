"""Numbers and lists in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable


def number(value: float | int | None) -> str:
    """A number as a person would write it: 3, 0.05, 4.3e27, inf."""
    if value is None:
        return "?"
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e5):
        return str(int(value))
    return f"{value:.3g}" if math.isfinite(value) else str(value)


def times(factor: float) -> str:
    return f"{number(factor)} times"


def count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def listed(items: Iterable[object]) -> str:
    words = [str(i) for i in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
