"""The Triton kernels behind `statistics`: many tensors, two launches per dtype, every element read once.

A program of the first kernel looks at one block of one tensor and leaves four partial results; one of the second joins
those of one tensor. Addresses of the tensors travel as integers, so one launch covers all of a dtype. Nothing waits
for the device: tables go there from pinned memory, and again only when they changed. Squares are summed in float64:
those of finite float32 numbers cannot overflow there, and memory, not arithmetic, is what limits the first kernel.
"""

# ruff: noqa: N803
from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096  # elements a program
CHUNK = 1024  # partial results that are joined at once


@triton.jit
def _partials(  # type: ignore[no-untyped-def]
    addresses, sizes, owners, starts, parts, flag, count,
    DTYPE: tl.constexpr, BLOCK: tl.constexpr, FIRST: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    tensor = tl.load(owners + program)
    start = tl.load(starts + program)
    left = tl.load(sizes + tensor) - start
    offsets = tl.arange(0, BLOCK)
    places = tl.load(addresses + tensor).to(tl.pointer_type(DTYPE)) + start + offsets
    if ALIGNED:  # to 16 bytes: without a mask several elements come with one instruction
        places = tl.max_contiguous(tl.multiple_of(places, 16), BLOCK)
    if left >= BLOCK:
        values = tl.load(places)
    else:
        values = tl.load(places, mask=offsets < left, other=0.0)
    size = tl.abs(values.to(tl.float32))
    finite = size < float("inf")  # a NaN is not smaller than anything
    good = tl.where(finite, size, 0.0)
    wide = good.to(tl.float64)
    tl.store(parts + program, tl.sum(wide * wide))
    tl.store(parts + count + program, tl.max(good).to(tl.float64))
    tl.store(parts + 2 * count + program, tl.min(tl.where(good > 0, good, float("inf"))).to(tl.float64))
    tl.store(parts + 3 * count + program, tl.sum(tl.where(finite, 0.0, 1.0)).to(tl.float64))
    if FIRST:
        tl.store(flag, 0.0, mask=program == 0)


@triton.jit
def _joined(parts, count, firsts, places, rows, width, flag, CHUNK: tl.constexpr):  # type: ignore[no-untyped-def]
    tensor = tl.program_id(0)
    end = tl.load(firsts + tensor + 1)
    squares = tl.zeros([CHUNK], dtype=tl.float64)
    largest = tl.zeros([CHUNK], dtype=tl.float64)
    smallest = tl.full([CHUNK], float("inf"), dtype=tl.float64)
    bad = tl.zeros([CHUNK], dtype=tl.float64)
    begin = tl.load(firsts + tensor)
    while begin < end:
        at = begin + tl.arange(0, CHUNK)
        inside = at < end
        squares += tl.load(parts + at, mask=inside, other=0.0)
        largest = tl.maximum(largest, tl.load(parts + count + at, mask=inside, other=0.0))
        smallest = tl.minimum(smallest, tl.load(parts + 2 * count + at, mask=inside, other=float("inf")))
        bad += tl.load(parts + 3 * count + at, mask=inside, other=0.0)
        begin += CHUNK
    place = tl.load(places + tensor)
    nonfinite = tl.sum(bad)
    tl.store(rows + place, tl.sum(squares))
    tl.store(rows + width + place, tl.max(largest))
    tl.store(rows + 2 * width + place, tl.min(smallest))
    tl.store(rows + 3 * width + place, nonfinite)
    tl.store(flag, 1.0, mask=nonfinite > 0)


_OPTIONS = {"enable_fp_fusion": True}  # said, so that triton does not warn that its default will change
_DTYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def fits(t: Tensor) -> bool:
    """Whether the numbers of `t` lie side by side, in a dtype that the kernel reads."""
    return t.dtype in _DTYPES and (
        t.is_contiguous() or t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last)
    )


class OnePass:
    """Statistics of the same tensors again and again: remembers what the device was told about them."""

    def __init__(self, block: int = BLOCK) -> None:
        self.block = block
        self._known: Any = None
        self._tables: list[tuple[Tensor, bool]] = []  # of each dtype: addresses, sizes, places; aligned

    def __call__(self, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(four rows: squares, largest, smallest, nonfinite; 1.0 if there is anything non-finite, else 0.0).

        tensors: on one device, all of them `fits`. The results are float64 and float32, on that device.
        """
        device = tensors[0].device
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            return self._launched(tensors, device)

    def _launched(self, tensors: Sequence[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
        rows = torch.empty(4, len(tensors), dtype=torch.float64, device=device)
        flag = torch.empty((), dtype=torch.float32, device=device)
        groups = [[i for i, t in enumerate(tensors) if t.dtype is dtype] for dtype in _DTYPES]
        stream = torch.cuda.current_stream().cuda_stream if device.type == "cuda" else 0
        self._tell(tensors, [places for places in groups if places], stream)
        tables = iter(self._tables)
        first = True
        for kind, places in zip(_DTYPES.values(), groups, strict=True):
            if not places:
                continue
            (addresses, sizes, where), aligned = next(tables)
            owners, starts, firsts = _layout(tuple(tensors[i].numel() for i in places), self.block, device, stream)
            count = len(owners)
            parts = torch.empty(4 * count, dtype=torch.float64, device=device)
            _partials[(count,)](
                addresses, sizes, owners, starts, parts, flag, count,
                DTYPE=kind, BLOCK=self.block, FIRST=first, ALIGNED=aligned, **_OPTIONS,
            )  # fmt: skip
            _joined[(len(places),)](parts, count, firsts, where, rows, len(tensors), flag, CHUNK=CHUNK, **_OPTIONS)
            first = False
        return rows, flag

    def _tell(self, tensors: Sequence[Tensor], groups: list[list[int]], stream: int) -> None:
        """Tables are sent again for another stream, which would not wait for those of the first."""
        addresses, sizes = [t.data_ptr() for t in tensors], [t.numel() for t in tensors]
        known = addresses, sizes, groups, stream
        if known == self._known:
            return
        self._known = known
        self._tables = [
            (
                _sent(torch.tensor([[addresses[i] for i in g], [sizes[i] for i in g], g]), tensors[0].device),
                all([addresses[i] % 16 == 0 for i in g]),
            )
            for g in groups
        ]


def statistics(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Squares, largest, smallest, nonfinite of tensors of one device, all of which `fits`."""
    squares, largest, smallest, nonfinite = OnePass()(tensors)[0]
    return squares, largest, smallest, nonfinite


@functools.lru_cache(maxsize=16)
def _layout(sizes: tuple[int, ...], block: int, device: torch.device, stream: int) -> tuple[Tensor, Tensor, Tensor]:
    """For every program its tensor and its first element there; for every tensor its first program, and the end."""
    blocks = [max(1, math.ceil(size / block)) for size in sizes]
    owners = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(blocks))
    starts = torch.cat([torch.arange(n) * block for n in blocks])
    firsts = torch.tensor([0, *blocks]).cumsum(0)
    return _sent(owners, device), _sent(starts, device), _sent(firsts, device)


def _sent(numbers: Tensor, device: torch.device) -> Tensor:
    """From pinned memory: a copy from pageable memory makes the host wait."""
    if device.type != "cuda":
        return numbers.to(device)
    return numbers.pin_memory().to(device, non_blocking=True)
