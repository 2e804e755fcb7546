"""What the failing update was given: gradients that were never cleared, a norm that overflowed, a scaled loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from whynan.diagnose.inquest import Inquest, measurement
from whynan.diagnose.measurements.parameters import parameters_of


@dataclass(frozen=True)
class Leftover:
    """Gradients at the start of iterations: in how many of the `seen` snapshots they were there and not zero."""

    kept: int
    seen: int


@measurement
def leftover(inquest: Inquest) -> Leftover | None:
    if inquest.recorder is None:
        return None
    params = {id(p) for p in parameters_of(inquest)}
    kept = seen = 0
    for snapshot in inquest.recorder.snapshots:
        if snapshot.index == 0:
            continue
        seen += 1
        for parameter, grad in snapshot.grads:
            if id(parameter) in params and grad is not None:
                entry = snapshot.entries.get(id(grad))
                if entry is not None and entry.copy is not None and bool((entry.copy != 0).any()):
                    kept += 1
                    break
    return Leftover(kept, seen)


@dataclass(frozen=True)
class Scaling:
    """The loss was multiplied by `factor` before backward; `by` is "GradScaler" or the line that did it."""

    factor: float
    by: str


@measurement
def scaling(inquest: Inquest) -> Scaling | None:
    """A power of two, or any large number, that multiplies the loss right before backward."""
    trace = inquest.trace
    if trace is None:
        return None
    scaler = grad_scaler(inquest)
    if scaler is not None and scaler.is_enabled():
        return Scaling(float(scaler.get_scale()), "GradScaler")
    first = next((r for r in trace.records if r.phase == "backward" and r.node is not None), None)
    before = trace.records[: first.index] if first is not None else trace.records
    for record in reversed(before[-12:]):
        if record.plan.base != "mul" or not record.outputs or record.outputs[0].shape.numel() != 1:
            continue
        sizes = [abs(float(v)) for v in record.args if isinstance(v, (int, float))]
        sizes += [r.absmax for r in record.inputs if r.absmax is not None]
        factor = max(sizes, default=0.0)
        if factor >= 64 and math.log2(factor).is_integer():
            return Scaling(factor, f"line {record.site.line}" if record.site else "the program")
    return None


def grad_scaler(inquest: Inquest) -> Any:
    import torch

    if inquest.snapshot is None:
        return None
    values = list(inquest.snapshot.locals.values())
    values += [v for o in values if hasattr(o, "__dict__") for v in list(vars(o).values())[:100]]
    return next((v for v in values if isinstance(v, torch.amp.GradScaler)), None)
