"""Memory that was never written

What happens
------------
`torch.empty` and a Parameter made from it hold whatever was in memory: zeros today, 1e38 or NaN tomorrow. Without
`reset_parameters` or a fill the model starts from garbage.

How it shows
------------
The value comes from an allocation that nobody wrote before it was read. Runs differ from process to process.

Experiment
----------
The same iterations with the tensor filled are finite.

Remedies
--------
`torch.zeros`, `torch.nn.init...`, a call of `reset_parameters`.

Example
-------
    import torch
    weight = torch.nn.Parameter(torch.empty(4, 4))
    torch.nn.init.xavier_uniform_(weight)
    assert torch.isfinite(weight).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.entering import unwritten

NAME = "uninitialized-memory"
CLASS = "uninitialized-memory"
REMEDIES = ("initialize-memory", "reinitialize")

ALLOCATIONS = ("empty", "new_empty", "empty_like", "empty_strided", "resize")


def assess(inquest: Inquest) -> Assessment:
    birth, found = inquest.birth, unwritten(inquest)
    note = (birth.note or "") if birth is not None else ""
    by_op = birth is not None and birth.op is not None and birth.op.rpartition("::")[2].rstrip("_") in ALLOCATIONS
    if found is None and not by_op and "allocated and read" not in note:
        return NO
    line = found.line if found is not None else birth.line if birth is not None else None
    source = found.source if found is not None else birth.source if birth is not None else None
    at = f" in line {line}" if line else ""
    text = f": `{source.strip()}`" if source else ""
    return Assessment(
        0.96,
        f"The memory allocated{at} is read before anything was written to it{text}.",
        (saw("writes to that memory before it was read", "none", "its contents are whatever was there"),),
        decisive=("mend-state", "reinit"),
        expects={"reinit": True},
    )
