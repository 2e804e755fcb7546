"""Four numbers about each of many tensors, in one pass: how large, how small, and how many elements are non-finite.

They are taken over the finite elements only, so that they still say something when one element is NaN. On CUDA a
Triton kernel reads every element once (`kernel`); elsewhere, and for what the kernel does not know, the reference below
does the same with torch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from whynan.tensors.many import local_values


class Statistics(NamedTuple):
    """One entry a tensor, float64, on the device of the tensors. Zeros, and `smallest` infinite, where all is zero."""

    squares: Tensor  # sum of squares
    largest: Tensor  # absolute value
    smallest: Tensor  # absolute value of the smallest that is not zero
    nonfinite: Tensor  # elements that are NaN or infinite


def statistics(tensors: Sequence[Tensor]) -> Statistics:
    """Statistics of tensors that lie on one device. Tensors without values (integers, empty ones) count as zeros."""
    values = [local_values(t) for t in tensors]
    if fits_kernel(values):
        from whynan.tensors import kernel

        return Statistics(*kernel.statistics([v for v in values if v is not None]))
    return reference(tensors)


def reference(tensors: Sequence[Tensor]) -> Statistics:
    """The same with torch, one tensor after the other, in float64."""
    device = tensors[0].device if tensors else torch.device("cpu")
    rows = torch.zeros(4, len(tensors), dtype=torch.float64, device=device)
    rows[2] = math.inf
    for i, tensor in enumerate(tensors):
        values = local_values(tensor)
        if values is None:
            continue
        size = values.detach().abs().double()
        finite = torch.isfinite(size)
        good = torch.where(finite, size, 0.0)
        rows[0, i] = good.square().sum()
        rows[1, i] = good.max()
        rows[2, i] = torch.where(good > 0, good, math.inf).min()
        rows[3, i] = values.numel() - finite.sum()
    return Statistics(*rows)


def fits_kernel(values: Sequence[Tensor | None]) -> bool:
    """Whether the kernel can read these: dense, in float32, float16 or bfloat16, on one CUDA device."""
    if not values or not triton_is_there() or any(v is None or not v.is_cuda for v in values):
        return False
    from whynan.tensors import kernel

    plain = [v for v in values if v is not None]
    return all(map(kernel.fits, plain)) and len({v.device for v in plain}) == 1


@functools.cache
def triton_is_there() -> bool:
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True
