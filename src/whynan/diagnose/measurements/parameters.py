"""E9 and E11: how large the parameters are, at the start, before the failing step, and for their shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whynan.diagnose.inquest import Inquest, measurement
from whynan.tensors.many import local_values

EMBEDDINGS = (torch.nn.Embedding, torch.nn.EmbeddingBag)


@dataclass(frozen=True)
class Parameters:
    """Over the parameters that optimizers hold. `gain`: largest std * sqrt(fan_in) among matrices, of `gain_of`.

    Tables of embeddings are no matrices here: their rows are looked up, nothing is summed over them.
    """

    absmax: float
    absmax_of: str | None
    gain: float
    gain_of: str | None
    wide: int  # matrices whose gain is above 2
    matrices: int
    absmax_before: float | None  # at the oldest snapshot
    steps_between: int

    @property
    def growth(self) -> float | None:
        if self.absmax_before is None or self.absmax_before == 0 or self.steps_between == 0:
            return None
        return self.absmax / self.absmax_before


def parameters_of(inquest: Inquest) -> list[Tensor]:
    found: dict[int, Tensor] = {}
    for optimizer in inquest.optimizers:
        for group in optimizer.param_groups:
            found.update({id(p): p for p in group["params"]})
    if not found:
        for module in inquest.modules:
            found.update({id(p): p for p in module.parameters()})
    if not found and inquest.snapshot is not None:
        for entry in inquest.snapshot.entries.values():
            if entry.tensor.is_leaf and entry.tensor.requires_grad:
                found[id(entry.tensor)] = entry.tensor
    return list(found.values())


def saved(snapshot: Any, tensor: Tensor) -> Tensor | None:
    """What `tensor` held when the snapshot was taken."""
    entry = snapshot.entries.get(id(tensor)) if snapshot is not None else None
    return entry.copy if entry is not None and entry.tensor is tensor else None


@measurement
def parameters(inquest: Inquest) -> Parameters | None:
    snapshot = inquest.snapshot
    if snapshot is None:
        return None
    oldest = inquest.recorder.snapshots[0] if inquest.recorder is not None and inquest.recorder.snapshots else snapshot
    largest, largest_of, before = 0.0, None, 0.0
    gain, gain_of, wide, matrices = 0.0, None, 0, 0
    tables = {id(m.weight) for root in inquest.modules for m in root.modules() if isinstance(m, EMBEDDINGS)}
    with torch.no_grad():
        for p in parameters_of(inquest):
            copy = saved(snapshot, p)
            values = local_values(copy) if copy is not None else None
            if values is None:
                continue
            finite = values[torch.isfinite(values)].float()
            size = finite.abs().max().item() if finite.numel() else 0.0
            if size > largest:
                largest, largest_of = size, inquest.name_of(p)
            if p.dim() >= 2 and finite.numel() > 1 and id(p) not in tables:
                fan_in = math.prod(p.shape[1:])
                g = finite.std().item() * math.sqrt(min(fan_in, p.shape[0] if p.dim() == 2 else fan_in))
                matrices += 1
                wide += g > 2
                if g > gain:
                    gain, gain_of = g, inquest.name_of(p)
            first = saved(oldest, p)
            values = local_values(first) if first is not None else None
            if values is not None:
                finite = values[torch.isfinite(values)]
                before = max(before, finite.abs().max().item() if finite.numel() else 0.0)
    return Parameters(largest, largest_of, gain, gain_of, wide, matrices, before or None, snapshot.steps - oldest.steps)
