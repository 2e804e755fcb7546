"""Simple numbers: which values to try in the place of a recorded one, and how to write a tensor as short as it goes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from whynan.replay.pool import dtype_name
from whynan.tensors.look import real

LONGEST_LINE = 100


def kinds(tensor: Tensor) -> set[str]:
    """ "nan" and "inf", as far as the tensor holds them."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
        return set()
    flat = real(tensor.detach())
    found = {"nan"} if bool(torch.isnan(flat).any()) else set()
    return found | {"inf"} if bool(torch.isinf(flat).any()) else found


def finite_as(tensor: Tensor, recorded: Tensor | None) -> bool:
    """No kind of non-finite number that the recorded tensor does not hold too (a mask keeps its -inf)."""
    return not (kinds(tensor) - (kinds(recorded) if recorded is not None else set()))


def uniform(tensor: Tensor) -> Iterator[Tensor]:
    """The tensor with one simple value everywhere: 0, 1, -1, 2, a power of two of its own size, a large one."""
    if tensor.dtype is torch.bool:
        values: list[float] = [True, False]
    elif not tensor.is_floating_point():
        values = [0, 1]
    else:
        largest = torch.finfo(tensor.dtype).max
        size = float(tensor.float().abs().nan_to_num(0, 0, 0).max()) if tensor.numel() else 0.0
        near = [_round_up(size)] if 0 < size < largest / 10 else []
        root = 10.0 ** math.ceil(math.log10(largest) / 2)  # its square overflows
        values = [0.0, 1.0, -1.0, 2.0, *near, *(-v for v in near), root]
    for value in values:
        yield torch.full_like(tensor, value)


def _round_up(size: float) -> float:
    """The next power of two, or of ten where that is easier to read."""
    return 2.0 ** math.ceil(math.log2(size)) if size < 1e4 else 10.0 ** math.ceil(math.log10(size))


def rounded(tensor: Tensor, digits: int) -> Tensor:
    """Every finite element to so many significant decimal digits."""
    flat = [float(f"{v:.{digits}g}") if math.isfinite(v) else v for v in tensor.double().reshape(-1).tolist()]
    return torch.tensor(flat, dtype=torch.float64).reshape(tensor.shape).to(tensor.dtype)


def single(value: float) -> Iterator[float]:
    """Simpler values for one element."""
    yield from (0.0, 1.0, -1.0, 2.0, 0.5)
    if math.isfinite(value) and value:
        power = 2.0 ** round(math.log2(abs(value)))
        yield math.copysign(power, value)
        for digits in (1, 2, 3, 4):
            yield float(f"{value:.{digits}g}")


def cost(tensor: Tensor) -> int:
    """Characters that the values of a tensor take; what becomes smaller is simpler."""
    if tensor.numel() and bool((tensor.reshape(-1)[:1] == tensor.reshape(-1)).all()):
        value = tensor.reshape(-1)[0].item()
        return len(str(value)) + (value not in (0, 1))
    return sum(len(number(v, tensor.dtype)) + 2 for v in tensor.reshape(-1)[:1000].tolist()) + tensor.numel()


def number(value: float | int | bool | complex, dtype: torch.dtype) -> str:
    """The shortest text that gives exactly this value in `dtype`."""
    if not isinstance(value, float):
        return repr(value)
    if not math.isfinite(value):
        return "torch.nan" if value != value else "torch.inf" if value > 0 else "-torch.inf"
    for digits in range(1, 18):
        text = f"{value:.{digits}g}"
        if float(torch.tensor(float(text), dtype=torch.float64).to(dtype)) == value:
            plain = repr(float(text))
            return plain if len(plain) <= len(text) + 2 else text
    return repr(value)


def written(tensor: Tensor, grad: bool) -> str:
    """An expression that makes the tensor."""
    tensor = tensor.detach().cpu()
    usual = {"float32", "int64", "bool"}
    kind = dtype_name(tensor.dtype)
    options = ([f"dtype=torch.{kind}"] if kind not in usual else []) + (["requires_grad=True"] if grad else [])
    shape = ", ".join(map(str, tensor.shape))
    flat = tensor.reshape(-1)
    if tensor.numel() > 1 and bool((flat[:1] == flat).all()) and tensor.numel() > 4:
        value = flat[0].item()
        whole = "zeros" if value == 0 else "ones" if value == 1 else None
        if kind in ("int64", "bool") and f"dtype=torch.{kind}" not in options:
            options.insert(0, f"dtype=torch.{kind}")
        if whole is not None:
            return f"torch.{whole}({', '.join([shape, *options])})"
        size = f"({shape},)" if tensor.dim() == 1 else f"({shape})"
        return f"torch.full({', '.join([size, number(value, tensor.dtype), *options])})"
    if not tensor.numel():
        return f"torch.empty({', '.join([shape, *options])})"
    return f"torch.tensor({', '.join([_nested(tensor), *options])})"


def _nested(tensor: Tensor) -> str:
    if tensor.dim() == 0:
        return number(tensor.item(), tensor.dtype)
    return f"[{', '.join(_nested(part) for part in tensor)}]"
