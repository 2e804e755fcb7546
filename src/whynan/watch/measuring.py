"""How large many tensors of a device are, and whether anything in them is non-finite: the faster of two ways.

`foreach`: a 2-norm of each; the squares of finite numbers can overflow, so where the answer must be exact an inf-norm
as well. `kernel`: one pass of `tensors.kernel`, exact, with the largest and the smallest element of each. The kernel is
compiled only where there is much to read, again and again; then both are timed, and the faster one is used.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from whynan.tensors.many import device_norms, is_plain, local_values
from whynan.tensors.statistics import fits_kernel
from whynan.watch.contain import nonfinite_flag

if TYPE_CHECKING:
    from whynan.tensors.kernel import OnePass

LOG = logging.getLogger("whynan")
WORTH = 1 << 20  # elements; below, launches are what costs
SOON = 16  # turns before the kernel is compiled, which takes a second: short runs do without
TRIALS = 3  # timed turns of a way


class Launched(NamedTuple):
    """Numbers on the device that `read` understands. `flag`: 1.0 there if anything is non-finite; None: in doubt."""

    way: str
    numbers: Tensor
    flag: Tensor | None


class Sizes(NamedTuple):
    """What was measured, one entry a tensor. `bad`: elements are non-finite; None where only `certain` knows of all."""

    norms: list[float]
    largest: list[float]
    smallest: list[float]
    bad: list[bool] | None
    certain: bool | None  # whether anything is non-finite; None: squares may have overflowed


class Measuring:
    """Of one list of tensors, measured again and again."""

    def __init__(self, fits: Callable[[Sequence[Tensor | None]], bool] = fits_kernel) -> None:
        self.turns = 0
        self.seconds: dict[str, list[float]] = {"foreach": [], "kernel": []}
        self._fits = fits
        self._kernel: OnePass | None = None
        self._broken = False
        self._launched = 0  # by the kernel

    def launch(self, tensors: Sequence[Tensor], exact: bool) -> Launched | None:
        """None where the tensors have no values, or lie on several devices."""
        self.turns += 1
        if self._prefers_kernel(tensors) and (done := self._by_kernel(tensors)) is not None:
            return done
        sizes = device_norms(tensors)
        if sizes is None:
            return None
        flag = nonfinite_flag(tensors) if exact else None
        if flag is None:
            return Launched("foreach", sizes, None)
        return Launched("foreach", torch.cat([sizes, flag.reshape(1)]), flag)

    def took(self, way: str, seconds: float) -> None:
        """The device worked so long on a launch; the first of the kernel waited for the compiler."""
        known = self.seconds[way]
        if way == "kernel" and self._launched <= 1:
            return
        known.append(seconds)
        del known[:-TRIALS]

    def _prefers_kernel(self, tensors: Sequence[Tensor]) -> bool:
        if self._broken or self.turns <= SOON or sum([t.numel() for t in tensors]) < WORTH:
            return False
        ours, theirs = self.seconds["kernel"], self.seconds["foreach"]
        return len(ours) < TRIALS or not theirs or min(ours) <= min(theirs)

    def _by_kernel(self, tensors: Sequence[Tensor]) -> Launched | None:
        values = [t.detach() if is_plain(t) else local_values(t) for t in tensors]
        if not self._fits(values):
            return None
        try:
            if self._kernel is None:
                from whynan.tensors.kernel import OnePass

                self._kernel = OnePass()
            rows, flag = self._kernel([v for v in values if v is not None])
        except Exception as error:  # no compiler, a triton that is too old or too new: the other way always works
            LOG.debug("whynan: the fused kernel is not used: %r", error)
            self._broken = True
            return None
        self._launched += 1
        return Launched("kernel", rows, flag)


def read(way: str, flagged: bool, numbers: list[float]) -> Sizes:
    """What the numbers of a `Launched` say. `flagged`: it had a flag. Norms of what is not finite are NaN."""
    if way == "kernel":
        count = len(numbers) // 4
        squares, largest, smallest, counts = (numbers[i * count : (i + 1) * count] for i in range(4))
        bad = [n > 0 for n in counts]
        norms = [math.nan if b else math.sqrt(s) for b, s in zip(bad, squares, strict=True)]
        return Sizes(norms, largest, smallest, bad, any(bad))
    if flagged:
        return Sizes(numbers[:-1], [], [], None, numbers[-1] != 0.0)
    return Sizes(numbers, [], [], None, None if not math.isfinite(sum(numbers)) else False)
