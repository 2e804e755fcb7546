"""Tensors worth trying: every edge value alone and among ordinary numbers, and structures that cancel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from whynan.preflight.fuzz.edges import interesting
from whynan.preflight.fuzz.plans import Domain, Plan, Slot, nudged

Labelled = tuple[str, Tensor]
_INTS = {"int64": torch.int64, "int32": torch.int32, "int16": torch.int16, "int8": torch.int8, "uint8": torch.uint8}


def dtype_of(slot: Slot, dtype: torch.dtype) -> torch.dtype:
    """What the argument is made of: its own dtype if one was said, else the one under test."""
    if slot.kind == "bool":
        return torch.bool
    if slot.kind == "int":
        return _INTS.get(slot.dtype or "int64", torch.int64)
    return getattr(torch, slot.dtype) if slot.dtype else dtype


def typical(slot: Slot, plan: Plan, dtype: torch.dtype, generator: torch.Generator, scale: float = 1.5) -> Any:
    """Ordinary numbers: around zero with a deviation of `scale`, or from the inner part of a narrower range."""
    shape = plan.shape(slot)
    if slot.kind == "constant":
        return slot.constant
    kind = dtype_of(slot, dtype)
    domain = slot.domain
    if slot.kind == "bool":
        return torch.rand(shape, generator=generator) < 0.7
    if slot.kind == "int":
        if domain.values:
            chosen = torch.randint(len(domain.values), shape, generator=generator)
            return torch.tensor(domain.values)[chosen].to(kind)
        return torch.randint(int(domain.low), int(domain.high) + 1, shape, generator=generator).to(kind)
    return fitted(_ordinary(shape, domain, dtype, generator, scale), domain, kind)


def _ordinary(
    shape: tuple[int, ...], domain: Domain, dtype: torch.dtype, generator: torch.Generator, scale: float
) -> Tensor:
    low, high = nudged(domain, torch.finfo(dtype).eps)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    if low <= -4 * scale and high >= 4 * scale:
        return noise
    if low <= 0 < high and high >= 4 * scale:
        return noise.abs() + 0.05
    if low > -math.inf and high - low <= 8 * scale:
        inner = 0.1 + 0.8 * torch.rand(shape, generator=generator, dtype=torch.float64)
        return low + (high - low) * inner
    return low + noise.abs() + 0.05


def uniform(slot: Slot, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Any:
    """Numbers from the whole range."""
    if not slot.floating:
        return typical(slot, plan, dtype, generator)
    low, high = nudged(slot.domain, torch.finfo(dtype).eps)
    part = torch.rand(plan.shape(slot), generator=generator, dtype=torch.float64)
    return fitted(low * (1 - part) + high * part, slot.domain, dtype_of(slot, dtype))


def fitted(value: Tensor, domain: Domain, dtype: torch.dtype) -> Tensor:
    """`value` inside the domain and in the dtype; rows are normalised where the domain is one of rows."""
    info = torch.finfo(dtype)
    low, high = nudged(domain, info.eps)
    value = value.double()
    if domain.family == "simplex" and value.dim() and value.numel():
        value = value.clamp(0, 1)
        total = value.sum(-1, keepdim=True)
        value = torch.where(total > 0, value / total.clamp_min(1e-300), torch.full_like(value, 1 / value.shape[-1]))
        return value.to(dtype)
    if domain.values:
        known = torch.tensor(domain.values, dtype=torch.float64)
        value = known[(value.unsqueeze(-1) - known).abs().argmin(-1)] if value.numel() else value
    value = value.clamp(max(low, -info.max), min(high, info.max))
    if domain.open_low or domain.open_high or not (_exact(low, dtype) and _exact(high, dtype)):
        return _inside(value.to(dtype), low, high)
    return value.to(dtype)


def _exact(bound: float, dtype: torch.dtype) -> bool:
    return abs(bound) > torch.finfo(dtype).max or torch.tensor(bound, dtype=torch.float64).to(dtype).item() == bound


def _inside(value: Tensor, low: float, high: float) -> Tensor:
    """Rounding to the dtype may leave the range: one step back inside."""
    step = torch.nextafter
    value = torch.where(value.double() > high, step(value, torch.full_like(value, -math.inf)), value)
    return torch.where(value.double() < low, step(value, torch.full_like(value, math.inf)), value)


def constants(slot: Slot, plan: Plan, dtype: torch.dtype) -> Iterator[Labelled]:
    """Every element the same: all edge values of the range, and numbers that binary cannot represent."""
    kind, shape = dtype_of(slot, dtype), plan.shape(slot)
    low, high = nudged(slot.domain, torch.finfo(kind).eps)
    for v in (*interesting(kind, low, high), 0.1, 1 / 3, 0.7):
        if low <= v <= high:
            yield f"all {v:g}", fitted(torch.full(shape, v, dtype=torch.float64), slot.domain, kind)


def shaped(slot: Slot, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Iterator[Labelled]:
    """Structures: one edge value among ordinary ones or zeros, gaps, equal and empty rows, diagonals, offsets."""
    kind, shape = dtype_of(slot, dtype), plan.shape(slot)
    low, high = nudged(slot.domain, torch.finfo(kind).eps)
    base = typical(slot, plan, dtype, generator).double()
    count = base.numel()
    if not count:
        return

    def give(label: str, value: Tensor) -> Labelled:
        return label, fitted(value.reshape(shape), slot.domain, kind)

    for v in interesting(kind, low, high):
        one, lone = base.clone().reshape(-1), torch.zeros(count, dtype=torch.float64)
        one[0] = lone[0] = v
        yield give(f"one {v:g}", one)
        yield give(f"lone {v:g}", lone)
    flat = torch.arange(count, dtype=torch.float64)
    yield give("low, high in turn", torch.where(flat % 2 == 0, low, high))
    yield give("high, then low", torch.where(flat == 0, high, low))
    yield give("ramp", flat + 1)
    yield give("0 and 1 in turn", flat % 2)
    if base.dim() >= 1:
        yield from _rows(base, low, high, give)
    for centre in (1.0, 7.7, min(high, 100.0), high / 3):
        for spread in (0.0, 1e-6, 1e-4, 1e-2):
            yield give(f"{centre:g} and a little", centre * (1 + spread * base.reshape(-1)))
    for power in (-30, -12, -6, 3, 12, 25):
        yield give(f"times 1e{power}", base * 10.0**power)


def _rows(base: Tensor, low: float, high: float, give: Any) -> Iterator[Labelled]:
    equal = base.clone()
    equal[:] = base[:1]
    yield give("equal rows", equal)
    empty = base.clone()
    empty[:1] = 0
    yield give("a row of zeros", empty)
    yield give("equal along the last axis", base[..., :1].expand_as(base).clone())
    hot = torch.zeros_like(base)
    hot[..., 0] = 1
    yield give("one-hot", hot)
    if base.shape[-1] > 1:
        gap = torch.zeros_like(base)
        gap[..., 0] = high
        yield give("one high, others 0", gap)
        gap = torch.zeros_like(base)
        gap[..., 0] = low
        yield give("one low, others 0", gap)
    if base.dim() >= 2 and base.shape[-1] == base.shape[-2]:
        eye = torch.eye(base.shape[-1], dtype=base.dtype).expand_as(base).clone()
        yield give("identity", eye)
        yield give("symmetric", base + base.transpose(-1, -2))
        yield give("positive definite", base @ base.transpose(-1, -2) + eye)
        yield give("rank one", base[..., :1] * base[..., :1].transpose(-1, -2))


def discrete(slot: Slot, plan: Plan, generator: torch.Generator) -> Iterator[Labelled]:
    """Class numbers and masks: all the same (each of a few), nothing selected, one row empty, cycling, any."""
    shape = plan.shape(slot)
    if slot.kind == "bool":
        yield "all", torch.ones(shape, dtype=torch.bool)
        yield "none", torch.zeros(shape, dtype=torch.bool)
        if shape:
            empty = torch.ones(shape, dtype=torch.bool)
            empty[:1] = False
            yield "first row none", empty
            yield "only the first", (torch.arange(empty.numel()) == 0).reshape(shape)
    else:
        kind = dtype_of(slot, torch.float32)
        low, high = int(slot.domain.low), int(slot.domain.high)
        some = slot.domain.values or tuple(dict.fromkeys((low, high, low + (high - low) // 2)))
        for v in some:
            yield f"all {v:g}", torch.full(shape, v).to(kind)
        cycle = torch.arange(math.prod(shape)).reshape(shape)
        choices = torch.tensor(slot.domain.values or list(range(low, min(high, low + 64) + 1)))
        yield "cycling", choices[cycle % len(choices)].to(kind)
    for _ in range(2):
        yield "any", typical(slot, plan, torch.float32, generator)


def related(slot: Slot, other: Tensor, dtype: torch.dtype, generator: torch.Generator) -> Iterator[Labelled]:
    """Made from another argument of the same shape: equal, opposite, twice, nearly equal, orthogonal."""
    kind = dtype_of(slot, dtype)
    twin = other.double()
    noise = torch.randn(other.shape, generator=generator, dtype=torch.float64)
    swapped = twin.flip(-1) * torch.where(torch.arange(twin.shape[-1]) % 2 == 0, 1.0, -1.0) if twin.dim() else -twin
    for label, value in (
        ("equal to it", twin),
        ("opposite", -twin),
        ("twice", 2 * twin),
        ("nearly equal", twin * (1 + torch.finfo(kind).eps * noise)),
        ("close", twin + 1e-4 * noise),
        ("orthogonal", swapped),
    ):
        yield label, fitted(value, slot.domain, kind)


def sized(plan: Plan) -> Iterator[Plan]:
    """The plan as it is, then with other sizes: one of each, all one, two features, many rows, empty where allowed."""
    used = sorted({d for s in plan.slots for d in s.dims if isinstance(d, str)})
    yield plan
    free = [d for d in used if d not in plan.fixed]
    for d in free:
        low, high = plan.spans.get(d, (1, 64))
        for size in dict.fromkeys((low, 1, 2, 16 if d == free[0] and d not in plan.spans else high)):
            if low <= size <= high and size != plan.sizes[d] and size <= 64:
                yield plan.with_sizes(**{d: size})
    if len(free) > 1 and all(plan.spans.get(d, (1, 1))[0] <= 1 for d in free):
        yield plan.with_sizes(**dict.fromkeys(free, 1))


def reranged(plan: Plan) -> Plan:
    """Class numbers follow the number of classes when that was made smaller."""
    slots = []
    for s in plan.slots:
        if s.kind == "int" and s.domain.name == "classes":
            shape = next((plan.shape(f) for f in plan.floats if f.dims), ())
            s = replace(s, domain=replace(s.domain, high=max(0, (shape[1] if len(shape) > 1 else 2) - 1)))
        slots.append(s)
    return replace(plan, slots=tuple(slots))
