"""E7: at a birth in backward, the gradient that came in from above, at the very elements.

Zero times an infinite derivative is a branch that was not chosen, or a mask put on afterwards (a trap); a finite
number times an infinite derivative is a point where the derivative does not exist."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from whynan.diagnose.inquest import Inquest, measurement
from whynan.diagnose.measurements.operands import picked
from whynan.replay.memory import writers


@dataclass(frozen=True)
class Upstream:
    """`zeros` of `count` elements of the incoming gradient are 0; `large` is its largest absolute value there."""

    zeros: int
    count: int
    large: float

    @property
    def all_zero(self) -> bool:
        return self.count > 0 and self.zeros == self.count


@measurement
def upstream(inquest: Inquest) -> Upstream | None:
    record, trace, finding = inquest.record, inquest.trace, inquest.finding
    if record is None or trace is None or finding is None or record.node is None:
        return None
    mask = next(iter(finding.outputs.values()), None)
    first = record.index
    while first > 0 and _same_node(trace.records[first - 1], record):
        first -= 1
    for member in trace.records[first : record.index + 1]:
        for ref in member.inputs:
            made = writers(ref.area, ref.index)
            if not ref.area.floating or ref.value is None or not made:
                continue
            maker = made[0][0]
            if maker.index < first and maker.phase == "backward" and (mask is None or ref.shape == mask.shape):
                at, _ = picked(ref.value, mask)
                at = at.double()
                at = at[torch.isfinite(at)]
                if at.numel():
                    return Upstream(int((at == 0).sum()), at.numel(), at.abs().max().item())
    return None


def _same_node(a: object, b: object) -> bool:
    return (a.node, a.forward) == (b.node, b.forward)  # type: ignore[attr-defined]
