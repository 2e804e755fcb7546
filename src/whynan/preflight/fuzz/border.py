"""How far one can go: from an ordinary value towards the failing one along one coordinate, by bisection."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from whynan.preflight.fuzz.edges import interesting
from whynan.preflight.fuzz.fills import fitted
from whynan.preflight.fuzz.hunt import Failure
from whynan.preflight.fuzz.plans import nudged
from whynan.preflight.fuzz.probe import Prober

COORDINATES = 12


@dataclass(frozen=True, kw_only=True)
class Border:
    """Along `argument[index]`, the other numbers as in the example.

    It fails from `first` to `last` (both fail); None where no safe number was found on that side. `elsewhere`: it
    fails at other numbers too.
    """

    argument: str
    index: tuple[int, ...]
    first: float | None
    last: float | None
    elsewhere: bool = False

    def __str__(self) -> str:
        name = self.argument + (f"[{', '.join(map(str, self.index))}]" if self.index else "")
        if self.first is not None and self.last is not None:
            if self.first == self.last:
                return f"fails at {name} = {_short(self.first)}{self._rest()}"
            return f"fails for {_short(self.first)} <= {name} <= {_short(self.last)}{self._rest()}"
        if self.first is not None:
            return f"safe for {name} < {_short(self.first)}" + self._but()
        return f"safe for {name} > {_short(self.last)}" + self._but()

    def _rest(self) -> str:
        return "" if self.elsewhere else ", safe at every other number tried"

    def _but(self) -> str:
        return ", as far as the next failure" if self.elsewhere else ""


def border(prober: Prober, failure: Failure) -> Border | None:
    """The safe range of the first coordinate that cures the failure by itself; None where none does."""
    for i, slot in enumerate(failure.plan.slots):
        value = failure.values[i]
        if not isinstance(value, Tensor) or not slot.floating:
            continue
        flat = value.reshape(-1)
        order = sorted(range(min(flat.numel(), 256)), key=lambda k: -abs(float(flat[k])))[:COORDINATES]
        for place in order:
            found = _Line(prober, failure, i, place).measure()
            if found is not None:
                return found
    return None


class _Line:
    """One coordinate of one argument."""

    def __init__(self, prober: Prober, failure: Failure, i: int, place: int) -> None:
        self.prober, self.failure, self.i, self.place = prober, failure, i, place
        self.slot, self.base = failure.plan.slots[i], failure.values[i]
        self.value = self.base.reshape(-1)[place].item()
        self.low, self.high = nudged(self.slot.domain, torch.finfo(self.base.dtype).eps)

    def fine(self, number: float) -> bool:
        trial = self.base.clone()
        trial.reshape(-1)[self.place] = number
        trial = fitted(trial, self.slot.domain, trial.dtype)
        values = tuple(trial if k == self.i else v for k, v in enumerate(self.failure.values))
        return self.prober(self.failure.plan, values).fine

    def measure(self) -> Border | None:
        edge = min(1000.0, self.high), max(-1000.0, self.low)
        grid = {self.value + d for d in (-1.0, 1.0, -0.1, 0.1, -10.0, 10.0, 1e-3, -1e-3)}
        grid |= {edge[1] + (edge[0] - edge[1]) * k / 24 for k in range(25)}
        grid |= set(interesting(self.base.dtype, self.low, self.high))
        points = sorted({p for p in grid if self.low <= p <= self.high and not _tiny(p, self.base.dtype)})
        good = [p for p in points if self.fine(p)]
        if not good:
            return None
        index = tuple(int(k) for k in torch.unravel_index(torch.tensor(self.place), self.base.shape))
        below = max((p for p in good if p < self.value), default=None)
        above = min((p for p in good if p > self.value), default=None)
        first = None if below is None else self._between(below, self.value)
        last = None if above is None else self._between(above, self.value)
        inside = (-math.inf if below is None else below, math.inf if above is None else above)
        elsewhere = any(not inside[0] <= p <= inside[1] for p in points if p not in good)
        return Border(argument=self.slot.name, index=index, first=first, last=last, elsewhere=elsewhere)

    def _between(self, good: float, bad: float) -> float:
        """The last failing number on the way from `bad` to `good`, to the last digit of the dtype."""
        dtype = self.base.dtype
        a, b = _order(good), _order(bad)
        for _ in range(64):
            middle = _number((a + b) // 2)
            rounded = torch.tensor(middle, dtype=torch.float64).to(dtype).item()
            if rounded in (_number(a), _number(b)) or abs(a - b) <= 1:
                break
            if self.fine(rounded):
                a = _order(rounded)
            else:
                b = _order(rounded)
        return _number(b)


def _tiny(number: float, dtype: torch.dtype) -> bool:
    """Too small to be a place to stand on: the line is looked at from ordinary numbers and from 0."""
    return number != 0 and abs(number) < math.sqrt(torch.finfo(dtype).tiny)


def _order(number: float) -> int:
    """Doubles as whole numbers in their order, so that a bisection takes as many steps for 1e-40 as for 88.7."""
    bits = struct.unpack("<q", struct.pack("<d", number))[0]
    return bits if bits >= 0 else -(bits & 0x7FFFFFFFFFFFFFFF)


def _number(order: int) -> float:
    bits = order if order >= 0 else (-order) | -0x8000000000000000
    return struct.unpack("<d", struct.pack("<q", bits))[0]


def _short(number: float | None) -> str:
    return f"{number:.7g}"
