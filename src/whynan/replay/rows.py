"""Which samples of the batch a birth belongs to."""

from __future__ import annotations

import heapq
import time

import torch

from whynan.replay.births import Finding
from whynan.replay.influence import Masks, influence
from whynan.replay.memory import collect, length_of, spread, unit, writers
from whynan.replay.trace import OpRecord, TensorRef, Trace

MOST = 64  # rows named in a report
PATIENCE = 5.0  # seconds
VISITS = 100  # ops looked at upstream of the birth


def rows_of(trace: Trace, finding: Finding, batch_size: int | None) -> tuple[int, ...]:
    """Indices along the batch axis of the elements that went bad; empty when samples cannot be told apart.

    Where the birth's output has the batch as its first axis they are read off. Else (heads folded into the batch, time
    first, a reduction over samples) the elements are followed upstream to the nearest tensor that has it.
    """
    if not batch_size or batch_size < 2 or finding.birth is None:
        return _of_source(finding, batch_size)
    for mask in finding.outputs.values():
        if mask.dim() and mask.shape[0] == batch_size:
            return _rows(mask)
    record, wanted = finding.birth, finding.outputs
    if record.forward is not None and not record.inside:
        record, wanted = _on_forward(record.origin, wanted)
    with torch.no_grad(), torch._C._DisableTorchDispatch(), torch._C.DisableTorchFunction():
        hit = _Upstream(batch_size).run(record, wanted)
    rows = _rows(hit) if hit is not None else ()
    return rows if len(rows) < batch_size else ()


def _of_source(finding: Finding, batch_size: int | None) -> tuple[int, ...]:
    source = finding.source
    if source is None or not batch_size or not source.shape or source.shape[0] != batch_size:
        return ()
    mask = source.area.mask()
    return _rows(mask) if mask is not None else ()


def _rows(mask: torch.Tensor) -> tuple[int, ...]:
    return tuple(mask.reshape(mask.shape[0], -1).any(1).nonzero().flatten().tolist())[:MOST]


def _on_forward(record: OpRecord, wanted: Masks) -> tuple[OpRecord, Masks]:
    """Elements of a gradient, as elements of the output of the forward op (which has the shape of one of the two)."""
    for mask in wanted.values():
        for i, ref in enumerate(record.outputs):
            if ref.shape == mask.shape:
                return record, {i: mask}
    return record, {}


class _Upstream:
    """Follows elements from an op to the nearest tensor whose first axis is the batch."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.wanted: dict[int, tuple[OpRecord, Masks]] = {}
        self.queue: list[int] = []

    def run(self, record: OpRecord, wanted: Masks) -> torch.Tensor | None:
        stop = time.monotonic() + PATIENCE
        self.wanted[record.index] = (record, wanted)
        self.queue = [-record.index]
        for _ in range(VISITS):
            if not self.queue or time.monotonic() > stop:
                return None
            record, wanted = self.wanted[-heapq.heappop(self.queue)]
            if not wanted or record.plan.allocates:
                continue
            for i, mask in (influence(record, wanted) | _indices(record, wanted)).items():
                ref = record.inputs[i]
                if not bool(mask.any()) or ref.area.memory.parameter:
                    continue
                found = self._follow(ref, mask)
                if found is not None:
                    return found
        return None

    def _follow(self, ref: TensorRef, mask: torch.Tensor) -> torch.Tensor | None:
        memory = ref.area.memory
        made = writers(ref.area, ref.index)
        known = [ref.area, *(a for a in memory.areas.values()), *(a for _, a in made)]
        grain = unit(*known)
        flat = spread(mask, ref.area, grain, length_of(grain, *known))
        for area in known:  # the same memory seen through another view
            if area.shape and area.shape[0] == self.batch_size and area.shape.numel() >= ref.shape.numel():
                part = collect(flat, area, grain)
                if bool(part.any()):
                    return part
        for record, area in made:
            part = collect(flat, area, grain)
            position = next((i for i, out in enumerate(record.outputs) if out.area is area), None)
            if position is None or not bool(part.any()):
                continue
            if record.index not in self.wanted:
                self.wanted[record.index] = (record, {})
                heapq.heappush(self.queue, -record.index)
            masks = self.wanted[record.index][1]
            masks[position] = masks[position] | part if position in masks else part
        return None


def _indices(record: OpRecord, wanted: Masks) -> Masks:
    """Token numbers say which row of an embedding was taken: they carry the batch on."""
    if record.plan.base != "embedding" or not wanted:
        return {}
    mask = next(iter(wanted.values())).any(-1)
    return {i: mask for i, ref in enumerate(record.inputs) if ref.name == "indices" and ref.shape == mask.shape}
