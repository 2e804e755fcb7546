"""Was a constant that the program filled a tensor with left where nothing was written over it?"""

from __future__ import annotations

from dataclasses import dataclass

from whynan.diagnose.inquest import Inquest, measurement
from whynan.replay.births import places
from whynan.replay.memory import writers
from whynan.replay.trace import OpRecord

WRITING = frozenset("scatter scatter_reduce index_put index_reduce index_copy _index_put_impl masked_scatter".split())
CHOOSING = frozenset("max amax min amin aminmax topk cummax cummin logsumexp logcumsumexp sort".split())
BACK = 12  # ops that are followed


@dataclass(frozen=True)
class Fill:
    """`line` and `text` place the constant, `left` of `total` elements still hold it after the op `by` in `by_line`."""

    line: int | None
    text: str
    by: str
    by_line: int | None
    left: int
    total: int


@measurement
def leftover(inquest: Inquest) -> Fill | None:
    """What the op of the birth read: infinities of the program that an op was to write over, or to choose from."""
    if inquest.record is None:
        return None
    reader: OpRecord = inquest.record
    chooser, left = None, None
    for _ in range(BACK):
        bad = next((ref for ref in reader.inputs if ref.bad), None)
        made = writers(bad.area, bad.index) if bad is not None else []
        if not made:
            return None
        reader = made[0][0]
        if places(reader):
            break
        if chooser is None and reader.plan.base.rstrip("_") in WRITING | CHOOSING:
            chooser, left = reader, bad
    if chooser is None or left is None or not places(reader):
        return None
    count = int((~left.value.isfinite()).sum()) if left.value is not None else 0
    site, by = reader.site, chooser.site
    return Fill(
        site.line if site else None,
        (site.expression or site.source or "").strip() if site else "",
        chooser.plan.base.rstrip("_"),
        by.line if by else None,
        count,
        int(left.shape.numel()),
    )
