"""Does a where, a mask, a clamp or nan_to_num follow the op in the forward pass, and does it hide the bad elements?"""

from __future__ import annotations

from dataclasses import dataclass

from whynan.diagnose.inquest import Inquest, measurement

CHOOSERS = frozenset(
    "where masked_fill masked_fill_ clamp clamp_min clamp_max nan_to_num maximum minimum index".split()
)
FAR = 12  # ops after the singular one
VIEWS = frozenset("view unsqueeze squeeze expand t transpose permute reshape detach _unsafe_view select slice".split())


@dataclass(frozen=True)
class Choice:
    """The op that chooses, its line, and whether its output is finite although an input was not."""

    op: str
    line: int | None
    absorbed: bool


@measurement
def chosen_after(inquest: Inquest) -> Choice | None:
    record, trace = inquest.record, inquest.trace
    if record is None or trace is None:
        return None
    start = record.forward if record.node is not None and record.forward is not None else record
    reached = {id(ref.area) for ref in start.outputs}
    memories = {ref.storage for ref in start.outputs}
    follow = 0
    for later in trace.records[start.index + 1 :]:
        if later.phase != "forward" or follow > FAR:
            break
        mine = [r for r in later.inputs if id(r.area) in reached or r.storage in memories]
        if not mine:
            continue
        follow += 1
        line = later.site.line if later.site is not None else None
        if later.plan.base in CHOOSERS:
            absorbed = any(r.bad for r in mine) and not any(o.bad for o in later.outputs)
            return Choice(later.plan.base.rstrip("_"), line, absorbed)
        if later.plan.base == "mul" and any(_is_mask(r) for r in later.inputs if r not in mine):
            return Choice("multiplication by a mask", line, False)
        memories |= {ref.storage for ref in later.outputs}
    return None


def _is_mask(ref: object) -> bool:
    value = ref.value  # type: ignore[attr-defined]
    return (
        value is not None
        and value.numel() > 1
        and bool(((value == 0) | (value == 1)).all())
        and bool((value == 0).any())
    )
