"""What is known about the values of an expression: an interval, and the evidence that its ends are really met."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from whynan.lint.file import File
from whynan.remedy.form import Form

INF = math.inf
TINY = 1e-300
ENDS_COINCIDE = "the two ends may coincide"
ZERO_VECTOR = "a vector may be all zeros"
NOTHING_FULFILS = "nothing may fulfil the condition"
EMPTY_MASK = "the mask may be empty"
CLAMPED = "clamp gives its bound 0"
IS_EXTREME = "the extreme is 0 away from itself"
FROM_ZERO = "arange starts at 0"
SATURATED_SOFTMAX = "softmax gives exactly 0 and 1 in float32"
SATURATED_SIGMOID = "sigmoid reaches exactly 1 above 16.6 and 0 below -88 in float32"
SATURATED_TANH = "tanh gives exactly 1 above 9.01 in float32"
SOFT = frozenset((SATURATED_SOFTMAX, SATURATED_SIGMOID))


@dataclass(frozen=True)
class Range:
    """Values lie in [lo, hi]. `zero`, `top`, `bottom`: why 0, hi, lo are really taken, "" where nothing says so."""

    lo: float = -INF
    hi: float = INF
    zero: str = ""
    top: str = ""
    bottom: str = ""
    count: bool = False

    @property
    def positive(self) -> bool:
        return self.lo > 0

    @property
    def nonnegative(self) -> bool:
        return self.lo >= 0


UNKNOWN = Range()
POSITIVE = Range(lo=TINY)
Handler = Callable[[File, Form, int], Range]
