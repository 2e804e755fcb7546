"""E5 and E6: the ops that produced the operands of the birth, computed again in more precision.

Not the op alone but the slice that leads to it: a zero that stays zero in float64 is a zero of the data; one that
becomes 1e-60 was an underflow, and 1 + 1e-7 that becomes 1 - 3e-17 was a rounding. Casts to narrower types are left
out on the way, so a float32 shadow of a half precision step is that step in float32."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whynan.diagnose.inquest import Inquest, measurement
from whynan.diagnose.measurements.operands import Operand, number_in, operand_at
from whynan.replay.memory import writers
from whynan.replay.reevaluate import call, repeatable, wider
from whynan.replay.trace import OpRecord, TensorRef

SECONDS = 4.0
DEPTH = 200  # ops back


@dataclass(frozen=True)
class Shadowed:
    """The operands of the birth in the shadow, whether the birth's bad elements are finite there, and the ops used."""

    dtype: str
    given: tuple[Operand, ...]
    forward: tuple[Operand, ...]
    finite: bool | None
    largest: float | None
    ops: tuple[str, ...]

    def of(self, name: str) -> Operand | None:
        return next((o for o in self.given if o.name == name), None)

    def forward_of(self, name: str) -> Operand | None:
        return next((o for o in self.forward if o.name == name), None)


class Shadow:
    """Values of a trace in another precision, computed on demand and remembered."""

    def __init__(self, dtype: torch.dtype, seconds: float = SECONDS, depth: int = DEPTH) -> None:
        self.dtype = dtype
        self.depth = depth
        self.stop = time.monotonic() + seconds
        self.used: dict[int, str] = {}
        self._outputs: dict[int, list[Tensor] | None] = {}

    def value(self, ref: TensorRef, depth: int = 0) -> Tensor | None:
        """What `ref` would have held; the recorded value, cast, where the way back is not known."""
        own = self._cast(ref.value)
        if not ref.area.floating or depth >= self.depth or time.monotonic() > self.stop:
            return own
        made = writers(ref.area, ref.index)
        if not made:
            return own
        record, area = made[0]
        outputs = self.outputs(record, depth + 1)
        place = next((i for i, out in enumerate(record.outputs) if out.area is area), None)
        if outputs is None or place is None or place >= len(outputs):
            return own
        result = outputs[place]
        same = (area.offset, area.shape, area.stride) == (ref.area.offset, ref.area.shape, ref.area.stride)
        if same and result.shape == ref.area.shape:
            return result
        return self._through_memory(ref, area, result, own)

    def outputs(self, record: OpRecord, depth: int = 0) -> list[Tensor] | None:
        if record.index not in self._outputs:
            self._outputs[record.index] = None
            self._outputs[record.index] = self._evaluate(record, depth)
        return self._outputs[record.index]

    def _evaluate(self, record: OpRecord, depth: int) -> list[Tensor] | None:
        if not repeatable(record) or record.plan.view or record.plan.base in ("lift_fresh", "detach", "alias"):
            return None
        if record.plan.base in ("_to_copy", "to") and record.inputs:
            source = record.inputs[0]
            if not (source.area.floating and record.outputs and record.outputs[0].area.floating):
                return None
            value = self.value(source, depth)
            self.used[record.index] = record.plan.base
            return None if value is None else [value.reshape(record.outputs[0].shape)]

        def operand(ref: TensorRef) -> Tensor:
            value = self.value(ref, depth)
            if value is None:
                raise LookupError(ref.name)
            return value.detach().clone()

        try:
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                result = call(record, operand, self.dtype)
        except Exception:  # no kernel, values not kept: the recorded ones serve
            return None
        self.used[record.index] = record.plan.base
        return [t.to(wider(t.dtype, self.dtype)) for t in result]  # `zeros` and its kin know nothing of the shadow

    def _cast(self, value: Tensor | None) -> Tensor | None:
        return None if value is None else value.detach().to(wider(value.dtype, self.dtype))

    def _through_memory(self, ref: TensorRef, area: Any, result: Tensor, own: Tensor | None) -> Tensor | None:
        """`ref` is another view of the memory that `area` is a view of: go through a flat copy."""
        if own is None or area.dtype != ref.area.dtype or result.shape != area.shape:
            return own
        length = 1 + max(_last(area), _last(ref.area))
        flat = torch.zeros(length, dtype=own.dtype, device=own.device)
        known = torch.zeros(length, dtype=torch.bool, device=own.device)
        torch.as_strided(flat, tuple(area.shape), area.stride, area.offset).copy_(result)
        torch.as_strided(known, tuple(area.shape), area.stride, area.offset).fill_(True)
        window = torch.as_strided(flat, tuple(ref.area.shape), ref.area.stride, ref.area.offset)
        covered = torch.as_strided(known, tuple(ref.area.shape), ref.area.stride, ref.area.offset)
        return torch.where(covered, window, own)


def _last(area: Any) -> int:
    return (
        int(area.offset) + sum((n - 1) * s for n, s in zip(area.shape, area.stride, strict=True))
        if all(area.shape)
        else 0
    )


@measurement
def shadow64(inquest: Inquest) -> Shadowed | None:
    return _shadowed(inquest, torch.float64)


@measurement
def shadow32(inquest: Inquest) -> Shadowed | None:
    """Only where something in the step was computed in less than float32."""
    if inquest.trace is None or not any(
        ref.dtype in (torch.float16, torch.bfloat16) for r in inquest.trace.records for ref in r.outputs
    ):
        return None
    return _shadowed(inquest, torch.float32)


def _shadowed(inquest: Inquest, dtype: torch.dtype) -> Shadowed | None:
    record = inquest.record
    if record is None:
        return None
    masks = inquest.finding.outputs if inquest.finding is not None else {}
    index, mask = next(iter(masks.items()), (0, None))
    wanted = number_in(record.outputs[index].name) if record.outputs else None
    shadow = Shadow(dtype)
    chosen = [r for r in record.inputs if wanted is None or number_in(r.name) in (None, wanted)]
    given = [operand_at(ref, mask, shadow.value(ref)) for ref in chosen]
    forward = record.forward.inputs if record.node is not None and record.forward is not None else []
    ahead = [operand_at(ref, mask, shadow.value(ref)) for ref in forward]
    used = tuple(shadow.used[i] for i in sorted(shadow.used))
    outputs = shadow.outputs(record)
    finite, largest = None, None
    if outputs is not None and index < len(outputs) and mask is not None and outputs[index].shape == mask.shape:
        at = outputs[index][mask]
        finite = bool(torch.isfinite(at).all())
        largest = at.abs().max().item() if finite and at.numel() else None
    return Shadowed(str(dtype).removeprefix("torch."), tuple(given), tuple(ahead), finite, largest, used)
