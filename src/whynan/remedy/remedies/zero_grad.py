"""zero-grad: clear the gradients each step.

What it does
------------
Inserts `optimizer.zero_grad()` after the step where no gradient is ever cleared.

When it applies
---------------
Gradients of all batches so far add up, and the updates with them.

When it does not
----------------
Accumulation on purpose, over a fixed number of micro-batches: divide the loss by their number.

Live
----
Gradients cleared after every step, from the oldest snapshot on (`zero-grad`).
"""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy import flow, optimizers
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("zero-grad", "clear the gradients each step", safety="safe", where="project", live=("zero-grad",))
def zero_grad(report: Report, source: Source) -> list[Candidate]:
    if (
        any(flow.last_name(c.func) == "zero_grad" for c in source.calls)
        or ".grad = None" in source.text
        or ".grad.zero_" in source.text
    ):
        return []
    edits = [source.insert_after(s.statement, f"{s.optimizer}.zero_grad()") for s in optimizers.steps(source)]
    kept = tuple(e for e in edits if e)
    return (
        [
            Candidate(
                "zero-grad", "clear the gradients after each step", source, kept, "safe", order=0.1, live=("zero-grad",)
            )
        ]
        if kept
        else []
    )
