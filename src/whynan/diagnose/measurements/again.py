"""E4: the op of the birth again with the same inputs, in float64 and, for half precision, in float32.

Finite in more precision means that the range or the rounding was the trouble; still non-finite means that the
mathematics has no answer there (op_conditions.csv: 81 of 88 range cases are finite in float64, 128 of 141 others
not)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whynan.diagnose.inquest import Inquest, measurement
from whynan.replay.reevaluate import NotRepeatable, reevaluate
from whynan.replay.trace import OpRecord


@dataclass(frozen=True)
class Again:
    """`finite`: are the elements that were bad now finite? `largest`: their largest absolute value, None if none."""

    dtype: str
    finite: bool
    largest: float | None


@measurement
def in_float64(inquest: Inquest) -> Again | None:
    return _again(inquest, torch.float64)


@measurement
def in_float32(inquest: Inquest) -> Again | None:
    """Only where the op ran in less than float32."""
    record = inquest.record
    if record is None or not any(r.dtype.is_floating_point and r.dtype.itemsize <= 2 for r in record.outputs):
        return None
    return _again(inquest, torch.float32)


def _again(inquest: Inquest, dtype: torch.dtype) -> Again | None:
    record = inquest.record
    if record is None:
        return None
    if record.plan.base in ("_to_copy", "to"):  # a cast to a narrower type: what it was given is its answer
        return _cast(record, dtype)
    try:
        outputs = reevaluate(record, dtype)
    except (NotRepeatable, RuntimeError, NotImplementedError, TypeError):
        return None
    return _judge(inquest, record, outputs, dtype)


def _cast(record: OpRecord, dtype: torch.dtype) -> Again | None:
    value = record.inputs[0].value if record.inputs else None
    if value is None:
        return None
    cast = value.to(dtype)
    finite = bool(torch.isfinite(cast).all())
    return Again(
        str(dtype).removeprefix("torch."), finite, cast.abs().max().item() if finite and cast.numel() else None
    )


def _judge(inquest: Inquest, record: OpRecord, outputs: list[Tensor], dtype: torch.dtype) -> Again:
    masks = dict(inquest.finding.outputs) if inquest.finding is not None else {}
    if not masks:
        masks = {i: m for i, ref in enumerate(record.outputs) if ref.bad and (m := ref.area.mask()) is not None}
    finite, largest = True, None
    for i, mask in masks.items():
        if i >= len(outputs) or outputs[i].shape != mask.shape:
            continue
        at = outputs[i][mask]
        good = torch.isfinite(at)
        finite = finite and bool(good.all())
        if bool(good.any()):
            top = at[good].abs().max().item()
            largest = top if largest is None else max(largest, top)
    return Again(str(dtype).removeprefix("torch."), finite, largest)
