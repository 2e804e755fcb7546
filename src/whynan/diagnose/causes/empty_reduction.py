"""The mean of nothing

What happens
------------
`mean` (or `median`) of an empty selection is NaN: no object in any image of the batch, no valid pair, no positive.

How it shows
------------
The birth is a mean over a tensor with no elements. The parameters may stay healthy, because the gradient of nothing
is nothing: only the reported loss is NaN.

Experiment
----------
With 0 in the place of the empty mean the same iterations are finite; so are they with the batch of the iteration
before.

Remedies
--------
Test `numel()` first, or divide a sum by `count.clamp(min=1)`.

Example
-------
    import torch
    dice = torch.rand(4)
    assert torch.isnan(dice[torch.zeros(4, dtype=torch.bool)].mean())
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism

NAME = "empty-reduction"
CLASS = "empty-reduction"
REMEDIES = ("guard-empty", "drop-bad-batch")


def assess(inquest: Inquest) -> Assessment:
    e = event(inquest)
    if e is None or mechanism(inquest) != "empty":
        return NO
    return Assessment(
        0.95,
        f"{e.here} is the {e.base} of an empty tensor.",
        (saw("elements reduced", "0", "the mean of nothing is 0/0"),),
        decisive=("op-guard", "drop-batch"),
        expects={"op-guard": True, "drop-batch": True, "clip": False},
    )
