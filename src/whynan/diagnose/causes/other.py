"""Something else

What happens
------------
The value was born in a way that none of the other causes describes: Inf - Inf, 0 * Inf, an infinite constant that was
meant for something else, an op of the user's own.

How it shows
------------
No measurement speaks for one of the known causes.

Experiment
----------
The report lists what was measured; a float64 copy of the step and the op's operands are the next things to look at.

Remedies
--------
None that is general.

Example
-------
    import torch
    infinite = torch.tensor(float("inf"))
    assert torch.isnan(infinite - infinite) and torch.isnan(infinite * 0)
"""

from __future__ import annotations

from whynan.diagnose.assessment import Assessment
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism

NAME = "other"
CLASS = "other"
REMEDIES = ("other",)


def assess(inquest: Inquest) -> Assessment:
    e = event(inquest)
    if e is None:
        return Assessment(0.1, "Nothing is known about where the value was born.")
    how = mechanism(inquest)
    if how in ("infinities", "placed", "entered"):
        return Assessment(0.4, f"{e.here} meets infinities that the program put there: Inf - Inf or 0 * Inf.")
    return Assessment(0.08, f"The value was born in {e.here}.")
