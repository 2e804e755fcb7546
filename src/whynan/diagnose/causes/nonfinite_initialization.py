"""Parameters or buffers that are non-finite from the start

What happens
------------
A parameter, a buffer or a constant table is computed at construction, and one of its entries is NaN or Inf: a
logarithm of zero, a quantile at 0 or 1, a division by a class count of zero. Training starts and may look healthy
for a while, until the entry is read.

How it shows
------------
The tensor is non-finite before step 0. The symptom may come many steps later: a class weight of Inf does nothing
until the first sample of that class arrives.

Experiment
----------
The same iterations with the bad entries replaced by the mean of the others stay finite.

Remedies
--------
Mend the formula that computes the tensor: clamp its argument, guard the count, choose another initial value.

Example
-------
    import torch
    counts = torch.tensor([250.0, 250.0, 0.0])
    weight = 500 / (3 * counts)
    loss = torch.nn.functional.cross_entropy(torch.zeros(4, 3), torch.tensor([0, 1, 2, 1]), weight=weight)
    assert torch.isnan(loss)
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.entering import entered
from whynan.diagnose.words import count

NAME = "nonfinite-initialization"
CLASS = "bad-initialization"
REMEDIES = ("reinitialize", "clamp", "initialize-memory")


def assess(inquest: Inquest) -> Assessment:
    birth, found = inquest.birth, entered(inquest)
    if birth is None or birth.phase != "init":
        return NO
    name = birth.tensor or (found.name if found is not None else "a tensor")
    kind = found.kind if found is not None else "tensor"
    bad = found.nan + found.inf if found is not None else (birth.elements.count if birth.elements else 1)
    made = birth.op is not None or birth.api == "numpy"
    return Assessment(
        0.6 if made else 0.85,
        f"The {kind} `{name}` holds {count(bad, 'non-finite value')} before the first step.",
        (
            saw(
                f"`{name}` before step 0",
                count(bad, "non-finite value"),
                "it was computed wrong, training did not spoil it",
            ),
        ),
        decisive=("mend-state",),
        expects={"mend-state": True, "lr/10": False, "clip": False},
    )
