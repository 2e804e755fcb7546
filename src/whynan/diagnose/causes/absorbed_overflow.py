"""Overflow absorbed by a normalization layer

What happens
------------
A normalization layer whose input exceeds 1.8e19 computes an infinite variance and multiplies by 1/sqrt(inf) = 0: its
output and gradient are 0 and everything looks finite. The layer is dead, and nothing alarms.

How it shows
------------
Inside of the layer, or of a norm written by hand, an Inf appears and disappears again. What is reported is found
further on.

Experiment
----------
float64 computes the true variance and the layer comes back to life.

Remedies
--------
Find what made the input that large (learning rate, missing normalization before); watch the size of the input.

Example
-------
    import torch
    x = torch.tensor([[1e20, -1e20]])
    assert torch.equal(torch.nn.functional.layer_norm(x, (2,)), torch.zeros(1, 2))
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import NORMALIZERS, mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.diagnose.words import number

NAME = "absorbed-overflow"
CLASS = "arithmetic-overflow"
REMEDIES = ("clip-gradients", "lower-learning-rate", "float64")


def assess(inquest: Inquest) -> Assessment:
    e, given = event(inquest), operands(inquest)
    if e is None or e.base not in NORMALIZERS or mechanism(inquest) != "overflow" or given is None:
        return NO
    x = given.argument()
    return Assessment(
        0.5,
        f"The input of {e.here} goes up to {number(x.absmax if x else None)}; its variance overflows.",
        (saw("input of the normalization", number(x.absmax if x else None), "above 1.8e19 its square is infinite"),),
        expects={"float64": True},
    )
