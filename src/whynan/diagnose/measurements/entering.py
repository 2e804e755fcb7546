"""E1: what was non-finite before the step began, and whether anything in the trace was read before it was written."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from whynan.diagnose.inquest import Inquest, measurement
from whynan.replay.memory import writers
from whynan.tensors.many import local_values


@dataclass(frozen=True)
class Entered:
    """`kind` is "item", "parameter", "buffer", "state", "gradient" or "local"."""

    kind: str
    name: str
    nan: int
    inf: int
    total: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]


@measurement
def entered(inquest: Inquest) -> Entered | None:
    tensor = inquest.source_tensor
    values = local_values(tensor) if tensor is not None else None
    if values is None or inquest.source is None:
        return None
    bad = (~torch.isfinite(values)).nonzero()
    rows = tuple(sorted({int(i[0]) for i in bad[:10_000]})) if values.dim() else ()
    columns = tuple(sorted({int(i[-1]) for i in bad[:10_000]})) if values.dim() > 1 else ()
    nan, inf = int(torch.isnan(values).sum()), int(torch.isinf(values).sum())
    return Entered(inquest.source.kind, inquest.source.name, nan, inf, values.numel(), rows[:64], columns[:64])


@dataclass(frozen=True)
class Unwritten:
    """An op that allocated memory which was read before anything was written to it."""

    op: str
    line: int | None
    source: str | None


@measurement
def unwritten(inquest: Inquest) -> Unwritten | None:
    finding, record = inquest.finding, inquest.record
    if finding is None or record is None:
        return None
    if finding.uninitialised:
        return _of(record)
    for ref in record.inputs:
        made = writers(ref.area, ref.index)
        if made and made[0][0].plan.allocates and ref.area.floating:
            return _of(made[0][0])
    return None


def _of(record: object) -> Unwritten:
    site = record.site  # type: ignore[attr-defined]
    return Unwritten(record.op, site.line if site else None, site.source.strip() if site and site.source else None)  # type: ignore[attr-defined]
