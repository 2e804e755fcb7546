"""Activations come close to the end of what their op or number format can hold, and keep growing.

The input of `exp` overflows at 88.7 in float32 (11.1 in float16), the probabilities of a softmax whose row spans more
than 104 (17.3) become exactly 0, float16 ends at 65504. Said from a quarter of the limit on (of logits 0.7 of it: wide
rows are common), when the value grew over the last looks (a plateau or a dip is no end of it) and reaches
it soon if it goes on, in a straight line or by a factor. Attention logits show here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from whynan.watch.warnings.base import Moment, Sign, Warning, warning
from whynan.watch.warnings.looks import Look
from whynan.watch.warnings.series import about

EXP = {torch.float32: 88.72, torch.bfloat16: 88.72, torch.float16: 11.09, torch.float64: 709.78}
SPAN = {torch.float32: 103.97, torch.bfloat16: 92.18, torch.float16: 17.33, torch.float64: 745.13}
HALF = 65504.0
SHARE, WIDE, LOOKS, MOST, GROWN, SOON = 0.25, 0.7, 3, 5, 1.15, 40.0
DIP, NEAR = 0.5, 0.8  # how far a look may be below the one before it, and the last one below the highest


@warning("headroom")
class Headroom(Warning):
    def __init__(self) -> None:
        self.known: dict[tuple[str, str, str | None], list[Look]] = {}

    def look(self, moment: Moment) -> Iterator[Sign]:
        for look in moment.looks:
            limit = limit_of(look)
            if limit is None:
                continue
            key = (look.what, look.op, look.place)
            past = self.known[key] = [*self.known.get(key, [])[1 - MOST :], look]
            left = steps_left(past, limit)
            if left is None:
                continue
            where = f" at {look.place}" if look.place else " in backward"
            if look.value >= (WIDE if look.what == "softmax" else SHARE) * limit and left <= max(SOON, look.index / 2):
                yield Sign(
                    f"{_words(look)}{where} is {look.value:.3g} and grows; {_end(look, limit)}, at this rate in "
                    f"{about(left)}",
                    look.place,
                    look.value,
                )
            elif left <= max(SOON, look.index / 2):
                yield Sign("", value=left)


def limit_of(look: Look) -> float | None:
    if look.what == "exp":
        return EXP.get(look.dtype)
    if look.what == "softmax":
        return SPAN.get(look.dtype)
    return HALF if look.what == "float16" else None


def steps_left(past: list[Look], limit: float) -> float | None:
    """Steps until `limit`, by the faster of linear and geometric growth over the last looks; None: no growth."""
    if len(past) < LOOKS or any(b.value < DIP * a.value for a, b in zip(past, past[1:], strict=False)):
        return None
    first, high = past[0].value, max(look.value for look in past)
    if high < GROWN * abs(first) or high <= 0 or past[-1].value < NEAR * high:
        return None
    span = past[-1].index - past[0].index
    linear = (limit - high) * span / (high - first)
    geometric = math.log(limit / high) * span / math.log(high / first) if first > 0 else math.inf
    return max(0.0, min(linear, geometric))


def _words(look: Look) -> str:
    if look.what == "softmax":
        return "the widest row of logits that softmax gets"
    return "the largest input of exp" if look.what == "exp" else f"the largest float16 result of {look.op}"


def _end(look: Look, limit: float) -> str:
    if look.what == "softmax":
        return f"from {limit:.3g} on probabilities are exactly 0"
    return f"{str(look.dtype).removeprefix('torch.')} overflows at {limit:.5g}"
