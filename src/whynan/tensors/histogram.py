"""How the numbers of one tensor are spread: some forty counts on an axis that suits them.

The axis is linear where the numbers are of one size, in powers of ten where they are not: "log" if all are positive,
"symlog" with powers of ten on both sides of a bin around zero if they are not. Every finite element is in a bin.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any, Literal

import torch

from whynan.case.facts import Histogram
from whynan.tensors.look import CHUNK, nonfinite, plain, real, unobserved

BINS = 40
SAMPLE = 1 << 16  # elements that decide about the axis
WIDE = 1e3  # one sign: largest (or smallest) against the middle; above it a linear axis would show one bar
HEAVY = 1e2  # both signs: largest absolute value against the middle one; a normal distribution has about 7

LARGEST = torch.finfo(torch.float64).max

Axis = Literal["linear", "log", "symlog"]


def histogram(tensor: Any, name: str = "", near_zero: bool = False) -> Histogram | None:
    """Of the elements of `tensor`, all of them; None where there are no numbers to look at.

    `near_zero` says that small numbers matter (the edge of the op is at 0). Complex numbers count as two reals.
    """
    with unobserved(), torch.no_grad():
        inner = plain(tensor)
        if inner is None or inner.numel() == 0 or inner.dtype is torch.bool:
            return None
        flat = real(inner).reshape(-1)
        bad = int(nonfinite(flat).sum())
        zeros = int((flat == 0).sum())
        if bad == flat.numel():
            return Histogram(name=name, bounds=(), counts=(), zeros=0, nonfinite=bad)
        chunks = [flat[i : i + CHUNK] for i in range(0, flat.numel(), CHUNK)]
        low, high, smallest = _range(chunks)
        axis = _axis(flat, low, high, smallest, near_zero)
        bounds = _bounds(axis, low, high, smallest)
        counts = _counts(chunks, bounds)
    return Histogram(name=name, bounds=tuple(bounds), counts=tuple(counts), axis=axis, zeros=zeros, nonfinite=bad)


def _finite(chunk: torch.Tensor) -> torch.Tensor:
    wide = chunk.double()
    return wide[torch.isfinite(wide)]


def _range(chunks: list[torch.Tensor]) -> tuple[float, float, float]:
    """Smallest, largest, and the smallest absolute value that is not zero (0.0 if all are zero)."""
    low, high, smallest = math.inf, -math.inf, math.inf
    for chunk in chunks:
        part = _finite(chunk)
        if part.numel():
            size = part.abs()
            nonzero = size[size > 0]
            low, high = min(low, part.min().item()), max(high, part.max().item())
            smallest = min(smallest, nonzero.min().item()) if nonzero.numel() else smallest
    return low, high, smallest if math.isfinite(smallest) else 0.0


def _axis(flat: torch.Tensor, low: float, high: float, smallest: float, near_zero: bool) -> Axis:
    if low == high or smallest == 0:
        return "linear"
    sample = _finite(flat[:: max(1, flat.numel() // SAMPLE)]).abs()
    sizes = sample[sample > 0].sort().values
    if not sizes.numel():
        return "symlog"
    largest, middle = max(-low, high), sizes[sizes.numel() // 2].item()
    if low < 0 < high:
        return "symlog" if largest / middle > HEAVY else "linear"
    few = sizes[sizes.numel() // 100].item()
    wide = largest / middle > WIDE or middle / few > WIDE or near_zero and largest / smallest > WIDE
    return "linear" if not wide else "log" if low > 0 else "symlog"


def _bounds(axis: Axis, low: float, high: float, smallest: float) -> list[float]:
    """Ascending, the first not above `low` and the last not below `high`."""
    if axis == "linear":
        return _even(low, high)
    if axis == "log":
        return _decades(low, high, BINS)
    both = low < 0 < high
    room = BINS // 2 if both else BINS
    above = _decades(smallest, high, room) if high > 0 else []
    below = [-b for b in reversed(_decades(smallest, -low, room))] if low < 0 else []
    # on one side only, zero itself is the other bound of the bin that holds the zeros
    return below + above if both else [0.0, *above] if above else [*below, 0.0]


def _even(low: float, high: float) -> list[float]:
    if low == high:
        pad = abs(low) * 0.5 or 0.5
        low, high = max(low - pad, -LARGEST), min(high + pad, LARGEST)
    # weights and no differences: the difference of two huge numbers may be infinite
    inner = (low * (1 - i / BINS) + high * (i / BINS) for i in range(1, BINS))
    return sorted({low, high, *(b for b in inner if low < b < high)})


def _decades(low: float, high: float, room: int) -> list[float]:
    """At most `room` + 1 powers of ten (whole ones, or fractions of one) from below `low` to above `high`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    wanted = (last - first) / room
    each = max(1, math.ceil(wanted)) if wanted > 0.5 else 1 / min(10, math.floor(1 / wanted))
    found = [_ten(first + i * each) for i in range(math.ceil(round((last - first) / each, 6)) + 1)]
    found[0], found[-1] = min(found[0], low) or low, max(found[-1], high)  # below 1e-323 a power of ten is 0
    start = bisect_left(found, low)  # empty bins at both ends tell nothing
    start = start if start < len(found) and found[start] == low else max(0, start - 1)
    end = bisect_left(found, high)
    return sorted(set(found[min(start, max(0, end - 1)) : max(end, start + 1) + 1]))


def _ten(power: float) -> float:
    try:
        return math.pow(10.0, power)
    except OverflowError:
        return LARGEST


def _counts(chunks: list[torch.Tensor], bounds: list[float]) -> list[int]:
    """How many finite elements lie in [bounds[i], bounds[i + 1]); the last bin includes its upper bound."""
    inner = torch.tensor(bounds[1:-1], dtype=torch.float64, device=chunks[0].device)
    found = torch.zeros(len(bounds) - 1, dtype=torch.int64, device=chunks[0].device)
    for chunk in chunks:
        places = torch.bucketize(_finite(chunk), inner, right=True)
        found += torch.bincount(places, minlength=len(bounds) - 1)
    return found.tolist()
