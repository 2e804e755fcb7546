"""A mean over nothing, written as sum / count

What happens
------------
A masked or grouped mean divides a sum by a count, and the count is 0: no valid token, no object, no member in the
group.

How it shows
------------
The birth is a division of 0 by 0, and the divisor is a count: an integer, or the sum of a mask of zeros and ones.

Experiment
----------
With a divisor of 1 in the place of 0, at that line only, the same iterations are finite; so are they with the batch
of the iteration before.

Remedies
--------
`count.clamp(min=1)`, or skip the term when there is nothing to average.

Example
-------
    import torch
    loss, mask = torch.rand(8), torch.zeros(8)
    assert torch.isnan((loss * mask).sum() / mask.sum())
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.counts import divisor_count
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism

NAME = "empty-count"
CLASS = "empty-reduction"
REMEDIES = ("guard-empty", "clamp", "drop-bad-batch")


def assess(inquest: Inquest) -> Assessment:
    e, found = event(inquest), divisor_count(inquest)
    if e is None or mechanism(inquest) != "div-zero" or e.phase == "optimizer" or found is None or not found.is_count:
        return NO
    what = "the whole batch" if found.whole else "some rows"
    return Assessment(
        0.9 if found.whole else 0.92 if found.words.startswith("members") else 0.7,
        f"{e.here} averages over nothing: the count ({found.words}) is 0 for {what}.",
        (saw("where the divisor comes from", found.words, "it counts, and there was nothing to count"),),
        decisive=("op-guard", "drop-batch"),
        expects={"op-guard": True, "drop-batch": True, "clip": False, "lr/10": False},
    )
