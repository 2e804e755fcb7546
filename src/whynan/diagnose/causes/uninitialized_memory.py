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
from whynan.diagnose.measurements.entering import entered, unwritten
from whynan.diagnose.measurements.mechanism import ALLOCATIONS
from whynan.diagnose.measurements.usercode import usercode

NAME = "uninitialized-memory"
CLASS = "uninitialized-memory"
REMEDIES = ("initialize-memory", "reinitialize")


def assess(inquest: Inquest) -> Assessment:
    birth, found = inquest.birth, unwritten(inquest)
    note = (birth.note or "") if birth is not None else ""
    by_op = birth is not None and birth.op is not None and birth.op.rpartition("::")[2].rstrip("_") in ALLOCATIONS
    if found is None and not by_op and "allocated and read" not in note:
        return _by_source(inquest)
    line = found.line if found is not None else birth.line if birth is not None else None
    source = found.source if found is not None else birth.source if birth is not None else None
    at = f" in line {line}" if line else ""
    text = f": `{source.strip()}`" if source else ""
    held = entered(inquest)  # PyTorch's own rules draw parameters, nothing else
    drawn = held is None or held.kind == "parameter"
    return Assessment(
        0.96,
        f"The memory allocated{at} is read before anything was written to it{text}.",
        (saw("writes to that memory before it was read", "none", "its contents are whatever was there"),),
        decisive=("mend-state", "reinit"),
        expects={"mend-state": True} | ({"reinit": True} if drawn else {}),
    )


def _by_source(inquest: Inquest) -> Assessment:
    """The tensor was bad before anything could be watched, no op is known to have made it, and the source allocates."""
    found, code, birth = entered(inquest), usercode(inquest), inquest.birth
    if (
        found is None
        or code is None
        or not code.allocations
        or birth is not None
        and (birth.op or birth.api == "numpy")
    ):
        return NO
    if found.kind not in ("parameter", "buffer", "local", "state"):
        return NO
    call = code.allocations[0]
    whole_rows = found.columns and len(found.rows) * len(found.columns) <= 2 * (found.nan + found.inf)
    where = f"rows {found.rows[0]} to {found.rows[-1]} of " if whole_rows and found.rows else ""
    return Assessment(
        0.93,
        f"{where[:1].upper()}{where[1:]}`{found.name}` hold{'' if where else 's'} values that no op made; line "
        f"{call.line} "
        f"allocates memory without writing it: `{call.text}`.",
        (
            saw(
                "where the values come from",
                f"no op before the first step; `{call.text}`",
                "the contents are whatever was in memory",
            ),
        ),
        decisive=("mend-state",),
        expects={"mend-state": True},
    )
