"""What a tensor was, in a few numbers that can be compared on another machine: a digest of its bits, and statistics."""

from __future__ import annotations

import ctypes
import hashlib
import math
from typing import Any

import torch
from torch import Tensor

from whynan.replay.pool import dtype_name
from whynan.tensors.look import nonfinite, real, unobserved

LARGEST = 64 << 20  # bytes; of larger tensors there are statistics only


def print_of(tensor: Tensor) -> dict[str, Any]:
    """dtype, shape, digest of the bits (every NaN counts as the same), counts, and range of the finite elements."""
    with unobserved(), torch.no_grad():
        found: dict[str, Any] = {"dtype": dtype_name(tensor.dtype), "shape": list(tensor.shape)}
        if tensor.layout is not torch.strided:
            return found
        if tensor.numel() and (tensor.is_floating_point() or tensor.is_complex()):
            flat = real(tensor)
            bad = nonfinite(flat)
            found["nan"], found["inf"] = int(torch.isnan(flat).sum()), 0
            if bool(bad.any()):
                found["inf"] = int(torch.isinf(flat).sum())
                kept = flat[~bad]
            else:
                kept = flat
            if kept.numel():
                low, high = torch.aminmax(kept)
                found["min"], found["max"] = float(low), float(high)
        if tensor.numel() * tensor.element_size() <= LARGEST:
            found["digest"] = digest(tensor)
        return found


def digest(tensor: Tensor) -> str:
    """128 bits of the elements in C order. Every NaN counts as the same one: its payload is the machine's affair."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj().resolve_neg())
    if tensor.is_floating_point() and tensor.element_size() > 1:
        bad = torch.isnan(tensor)
        if bool(bad.any()):
            tensor = tensor.masked_fill(bad, math.nan)
    flat = tensor.detach().cpu().contiguous()
    size = flat.numel() * flat.element_size()
    data = (ctypes.c_char * size).from_address(flat.data_ptr()) if size else b""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def difference(seen: dict[str, Any], now: dict[str, Any]) -> str | None:
    """What differs between the recorded tensor and today's, in words; None if nothing does as far as can be told."""
    for field, what in (("dtype", "dtype"), ("shape", "shape")):
        if seen.get(field) != now.get(field):
            return f"{what} {seen.get(field)} then, {now.get(field)} now"
    if seen.get("digest") == now.get("digest"):
        return None
    for field, what in (("nan", "NaN"), ("inf", "Inf")):
        if seen.get(field, 0) != now.get(field, 0):
            return f"{seen.get(field, 0)} {what} then, {now.get(field, 0)} now"
    parts, largest = [], 0.0
    for field in ("min", "max"):
        then, today = seen.get(field), now.get(field)
        if isinstance(then, int | float) and isinstance(today, int | float) and then != today:
            parts.append(f"{field} {then:.9g} then, {today:.9g} now")
            largest = max(largest, abs(then - today) / max(abs(then), abs(today)))
    if parts:
        return f"{'; '.join(parts)} (relative difference {largest:.1e})"
    return "other bits, within the same range" if "digest" in seen and "digest" in now else None
