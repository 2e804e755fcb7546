"""unscale-before-clip: unscale the gradients before clipping them.

What it does
------------
Inserts `scaler.unscale_(optimizer)` in front of a clip that sees gradients multiplied by the loss scale.

When it applies
---------------
A GradScaler is used, gradients are clipped, and `unscale_` is missing: the limit applies to gradients times
65536.

When it does not
----------------
Where the scaled gradient overflows float16 in every step: a smaller scale or bfloat16 helps there.

Live
----
Gradients clipped to norm 1 inside of the scaler's step, when they have been unscaled (`clip`).
"""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy import flow, optimizers
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("unscale-before-clip", "unscale before clipping", safety="safe", where="project", live=("clip",))
def unscale_before_clip(report: Report, source: Source) -> list[Candidate]:
    scaled = [s for s in optimizers.steps(source) if s.scaler]
    if not scaled or any(flow.last_name(c.func) == "unscale_" for c in source.calls):
        return []
    out = []
    for call in optimizers.calls_named(source, *optimizers.CLIPS):
        edit = source.insert_before(source.statement(call), f"{scaled[0].scaler}.unscale_({scaled[0].optimizer})")
        if edit:
            out.append(
                Candidate(
                    "unscale-before-clip",
                    "unscale the gradients before clipping them",
                    source,
                    (edit,),
                    "safe",
                    order=0.1,
                )
            )
    return out[:1]
