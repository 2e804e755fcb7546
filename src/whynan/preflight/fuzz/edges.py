"""The numbers at which functions of a dtype turn: all from its finfo, none by heart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch


@dataclass(frozen=True)
class Edges:
    """Named numbers of one dtype. `log_max` is where exp overflows, `log_eps` where 1 - sigmoid(x) rounds to 0."""

    max: float
    tiny: float
    subnormal: float
    eps: float
    log_max: float
    log_subnormal: float
    log_tiny: float
    log_eps: float
    sqrt_max: float
    sqrt_tiny: float


@cache
def edges(dtype: torch.dtype) -> Edges:
    info = torch.finfo(dtype)
    subnormal = info.tiny * info.eps
    return Edges(
        max=info.max,
        tiny=info.tiny,
        subnormal=subnormal,
        eps=info.eps,
        log_max=math.log(info.max),
        log_subnormal=math.log(subnormal),
        log_tiny=math.log(info.tiny),
        log_eps=-math.log(info.eps / 2),
        sqrt_max=math.sqrt(info.max),
        sqrt_tiny=math.sqrt(info.tiny),
    )


def faint(tensor: torch.Tensor) -> torch.Tensor:
    """Where the tensor holds numbers whose squares are not normal numbers any more, though not 0."""
    return (tensor != 0) & (tensor.double().abs() < math.sqrt(torch.finfo(tensor.dtype).tiny))


def subnormal(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor != 0) & (tensor.double().abs() < torch.finfo(tensor.dtype).tiny)


@cache
def interesting(dtype: torch.dtype, low: float, high: float) -> tuple[float, ...]:
    """Edge values of `dtype` inside [low, high], simplest first: 0, 1, the bounds, saturations, neighbours of 1."""
    e = edges(dtype)
    up = 1.005  # just beyond: a saturation is reached, not only approached
    sizes = [1.0, e.log_max * up, -e.log_subnormal * up, e.log_eps * up, -e.log_tiny * up, 2 * e.log_max * up]
    sizes += [0.5, 2.0, math.pi, math.pi / 2, 10.0, 1 - e.eps / 2, 1 + e.eps, e.eps]
    sizes += [e.tiny, e.subnormal, e.sqrt_tiny, 4 * e.subnormal]
    sizes += [math.sqrt(e.log_max) * up, e.sqrt_max * up, e.max / 2, e.max, e.max ** (1 / 3) * up, e.sqrt_max**0.5 * up]
    found = [0.0, low, high, *(s * v for v in sizes for s in (1, -1)), -0.0]
    rounded = [torch.tensor(v, dtype=torch.float64).to(dtype).item() for v in found if low <= v <= high]
    kept: dict[str, float] = {str(v): v for v in rounded if math.isfinite(v) and low <= v <= high}
    return tuple(kept.values())
