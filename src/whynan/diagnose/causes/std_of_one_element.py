"""The standard deviation of one element

What happens
------------
`std` and `var` divide by n - 1. For a single element that is 0/0 = NaN: the last, smaller batch of an epoch, a
one-sample minibatch. An eps added to the result does not help, because it is NaN already.

How it shows
------------
The birth is std or var over exactly one element. PyTorch warns about degrees of freedom.

Experiment
----------
With `correction=0` at that line the same iterations are finite; so are they with the batch of the iteration before.

Remedies
--------
`drop_last=True`, `correction=0`, skip normalisation of a single element.

Example
-------
    import torch
    advantage = torch.tensor([0.7])
    assert torch.isnan((advantage - advantage.mean()) / (advantage.std() + 1e-8)).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism

NAME = "std-of-one-element"
CLASS = "empty-reduction"
REMEDIES = ("guard-empty", "drop-bad-batch")


def assess(inquest: Inquest) -> Assessment:
    e = event(inquest)
    if e is None or mechanism(inquest) != "one-element":
        return NO
    return Assessment(
        0.95,
        f"{e.here} is the {e.base} of a single element: it divides by n - 1 = 0.",
        (saw("elements reduced", "1", "zero degrees of freedom"),),
        decisive=("op-guard", "drop-batch"),
        expects={"op-guard": True, "drop-batch": True, "clip": False},
    )
