"""The Triton kernel behind `statistics`: many tensors, one launch per dtype, every element read once.

A program looks at one block of one tensor and writes four partial results; a small reduction in torch joins them. The
addresses of the tensors travel as integers, so one launch covers all of a dtype. Squares are summed in float64: those
of finite float32 numbers cannot overflow there, and memory, not arithmetic, is what limits the kernel.
"""

# ruff: noqa: N803
from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096  # elements a program


@triton.jit
def _partials(addresses, sizes, owners, starts, out, DTYPE: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    program = tl.program_id(0)
    tensor = tl.load(owners + program)
    base = tl.load(addresses + tensor).to(tl.pointer_type(DTYPE))
    offsets = tl.load(starts + program) + tl.arange(0, BLOCK)
    inside = offsets < tl.load(sizes + tensor)
    size = tl.abs(tl.load(base + offsets, mask=inside, other=0.0).to(tl.float32))
    finite = size < float("inf")  # a NaN is not smaller than anything
    good = tl.where(finite, size, 0.0)
    wide = good.to(tl.float64)
    tl.store(out + program * 4, tl.sum(wide * wide))
    tl.store(out + program * 4 + 1, tl.max(good).to(tl.float64))
    tl.store(out + program * 4 + 2, tl.min(tl.where(good > 0, good, float("inf"))).to(tl.float64))
    tl.store(out + program * 4 + 3, tl.sum(tl.where(finite, 0.0, 1.0)).to(tl.float64))


_DTYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def statistics(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Squares, largest, smallest, nonfinite of contiguous tensors of one device, in float32, float16 or bfloat16."""
    device = tensors[0].device
    rows = torch.zeros(len(tensors), 4, dtype=torch.float64, device=device)
    for dtype, kind in _DTYPES.items():
        chosen = [i for i, t in enumerate(tensors) if t.dtype == dtype]
        if chosen:
            rows[torch.tensor(chosen, device=device)] = _of_one_dtype([tensors[i] for i in chosen], kind)
    return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]


def _of_one_dtype(tensors: list[Tensor], kind: tl.dtype) -> Tensor:
    device = tensors[0].device
    owners, starts = _layout(tuple(t.numel() for t in tensors), device)
    table = torch.tensor([[t.data_ptr() for t in tensors], [t.numel() for t in tensors]]).to(device, non_blocking=True)
    parts = torch.empty(len(owners), 4, dtype=torch.float64, device=device)
    _partials[(len(owners),)](table[0], table[1], owners, starts, parts, DTYPE=kind, BLOCK=BLOCK)
    out = torch.zeros(len(tensors), 4, dtype=torch.float64, device=device)
    out[:, 2] = math.inf
    out[:, 0].index_add_(0, owners, parts[:, 0])
    out[:, 1].scatter_reduce_(0, owners, parts[:, 1], "amax")
    out[:, 2].scatter_reduce_(0, owners, parts[:, 2], "amin")
    out[:, 3].index_add_(0, owners, parts[:, 3])
    return out


@functools.lru_cache(maxsize=16)
def _layout(sizes: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """For every program the tensor that it looks at, and its first element there."""
    blocks = [max(1, math.ceil(size / BLOCK)) for size in sizes]
    owners = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(blocks))
    starts = torch.cat([torch.arange(n) * BLOCK for n in blocks])
    return owners.to(device), starts.to(device)
