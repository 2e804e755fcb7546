"""Every target is ignored

What happens
------------
cross_entropy averages over the targets that are not `ignore_index` (-100). If all of them are, the loss is 0/0 =
NaN: a prompt that fills the whole context window, a batch of nothing but padding. The gradient is exactly 0, so the
model is not hurt; sums and averages of the loss are.

How it shows
------------
The birth is nll_loss with finite scores, and no target counts.

Experiment
----------
With 0 in the place of that loss the same iterations are finite; so are they with the batch of the iteration before.

Remedies
--------
Sum the losses and divide by `(target != -100).sum().clamp(min=1)`, or leave such samples out.

Example
-------
    import torch
    target = torch.full((4,), -100)
    assert torch.isnan(torch.nn.functional.cross_entropy(torch.zeros(4, 3), target))
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism

NAME = "all-targets-ignored"
CLASS = "empty-reduction"
REMEDIES = ("guard-empty", "drop-bad-batch")


def assess(inquest: Inquest) -> Assessment:
    e, birth = event(inquest), inquest.birth
    if e is None or birth is None or mechanism(inquest) != "all-ignored":
        return NO
    target = next((f for f in birth.inputs if f.name == "target"), None)
    many = f"all {target.numel} targets are" if target is not None else "every target is"
    return Assessment(
        0.95,
        f"{e.here} averages over no target: {many} ignored (or of weight 0).",
        (saw("targets that count", "0", "the mean over them is 0/0"),),
        decisive=("op-guard", "drop-batch"),
        expects={"op-guard": True, "drop-batch": True, "clip": False},
    )
