"""E10: is there something in the failing batch that no batch before it had? Is every batch extreme?

Compares the floating tensors of the batch, column by column and row by row, with the batches on the tape before it.
Where the batch is cut out of a large tensor inside of the loop, the data that enter the trace are looked at instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from whynan.diagnose.inquest import Inquest, measurement
from whynan.replay.memory import writers
from whynan.replay.names import flatten

COMPARED = 24  # batches before the failing one


@dataclass(frozen=True)
class Outlier:
    """`value` is `ratio` times the typical largest absolute value of the same tensor in earlier batches."""

    tensor: str
    value: float
    usual: float
    row: int | None
    column: int | None
    z: float

    @property
    def ratio(self) -> float:
        return abs(self.value) / self.usual if self.usual else math.inf


@dataclass(frozen=True)
class Batches:
    """`scale`: typical largest absolute value of the most extreme tensor, over all batches; `compared` batches."""

    compared: int
    outlier: Outlier | None
    scale: float
    scale_of: str | None
    spread: float  # largest over smallest standard deviation among the columns of that tensor


def tensors_of(inquest: Inquest, index: int) -> dict[str, Tensor]:
    """Floating tensors of one iteration's batch, by their place in it."""
    taped = inquest.recorder.taped(index) if inquest.recorder is not None else None
    if taped is None:
        return {}
    values: list[Any] = [taped.item, *(entry[0] for entry in taped.nexts)]
    return {
        f"{i}{path}": t
        for i, value in enumerate(values)
        for path, t in flatten(value)
        if t.is_floating_point() and t.numel() and t.layout is torch.strided
    }


@measurement
def batches(inquest: Inquest) -> Batches | None:
    now = tensors_of(inquest, failing(inquest))
    if not now:
        return _entering(inquest)
    past = [b for i in range(failing(inquest) - COMPARED, failing(inquest)) if (b := tensors_of(inquest, i))]
    outlier: Outlier | None = None
    scale, scale_of, spread = 0.0, None, 1.0
    for place, tensor in now.items():
        name = inquest.name_of(tensor) or f"batch{place[1:]}"
        before = [b[place] for b in past if place in b]
        usual = median([_absmax(b) for b in before]) if before else None
        if usual is not None and len(before) >= 2:
            found = _outlier(name, tensor, before, usual)
            if found is not None and (outlier is None or found.ratio > outlier.ratio):
                outlier = found
        typical = usual if usual is not None else _absmax(tensor)
        if typical > scale:
            scale, scale_of, spread = typical, name, _spread(tensor)
    return Batches(len(past), outlier, scale, scale_of, spread)


def failing(inquest: Inquest) -> int:
    """Index of the iteration whose batch is to be blamed: that of the birth."""
    if inquest.birth is not None and inquest.birth.iteration is not None and inquest.run is not None:
        return inquest.birth.iteration - inquest.run.first
    return inquest.index


def _outlier(name: str, tensor: Tensor, before: list[Tensor], usual: float) -> Outlier | None:
    values = tensor.detach().double()
    finite = torch.where(torch.isfinite(values), values, torch.zeros_like(values))
    if finite.numel() == 0:
        return None
    place = int(finite.abs().reshape(-1).argmax())
    value = finite.reshape(-1)[place].item()
    where = [int(i) for i in torch.unravel_index(torch.tensor(place), tensor.shape)] if tensor.dim() else []
    mean, std = _typical(before, where[-1] if len(where) > 1 else None)
    z = abs(value - mean) / std if std > 0 else (math.inf if value != mean else 0.0)
    column = where[-1] if len(where) > 1 else None
    return Outlier(name, value, usual, where[0] if where else None, column, z)


def _typical(before: list[Tensor], column: int | None) -> tuple[float, float]:
    parts = [b[..., column] if column is not None and b.dim() > 1 and b.shape[-1] > column else b for b in before]
    flat = torch.cat([p.detach().double().reshape(-1) for p in parts])
    flat = flat[torch.isfinite(flat)]
    return (flat.mean().item(), flat.std().item()) if flat.numel() > 1 else (0.0, 0.0)


def _absmax(tensor: Tensor) -> float:
    values = tensor.detach()
    finite = values[torch.isfinite(values)]
    return finite.abs().max().item() if finite.numel() else 0.0


def _spread(tensor: Tensor) -> float:
    if tensor.dim() < 2 or tensor.shape[0] < 2:
        return 1.0
    stds = tensor.detach().double().reshape(-1, tensor.shape[-1]).std(0)
    stds = stds[torch.isfinite(stds) & (stds > 0)]
    return (stds.max() / stds.min()).item() if stds.numel() > 1 else 1.0


def data_entering(inquest: Inquest) -> Iterator[Any]:
    """References of floating tensors that the forward pass reads, nobody in the trace wrote, and no model owns."""
    if inquest.trace is None:
        return
    seen: set[int] = set()
    for record in inquest.trace.records:
        if record.phase not in ("forward", "data") or record.node is not None:
            continue
        for ref in record.inputs:
            if not ref.area.floating or id(ref.area) in seen or writers(ref.area, ref.index):
                continue
            seen.add(id(ref.area))
            tensor = ref.tensor
            if tensor is None or tensor.requires_grad or ref.area.shape.numel() < 2:
                continue
            known = inquest.names.of(tensor) if inquest.names is not None else None
            if known is None or known.kind in ("item", "local"):
                yield ref


def _entering(inquest: Inquest) -> Batches | None:
    scale, scale_of, spread = 0.0, None, 1.0
    found = False
    for ref in data_entering(inquest):
        found = True
        size = ref.absmax
        if size is not None and math.isfinite(size) and size > scale:
            scale, scale_of = size, inquest.name_of(ref.tensor)
            spread = _spread(ref.value) if ref.value is not None else 1.0
    return Batches(0, None, scale, scale_of, spread) if found else None
