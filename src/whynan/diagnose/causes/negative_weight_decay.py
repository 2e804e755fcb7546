"""Weight decay with the wrong sign

What happens
------------
A penalty is subtracted instead of added, or `weight_decay` is negative: weights grow by a constant factor in every
step.

How it shows
------------
The norm of the parameters grows geometrically while gradients of the data loss are small.

Experiment
----------
The same iterations with the sign turned are finite.

Remedies
--------
Turn the sign.

Example
-------
    import torch
    w = torch.ones(1)
    for _ in range(1000):
        w = w - 0.1 * (-1.0 * w)
    assert torch.isinf(w).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.optimizers import optimizers
from whynan.diagnose.words import number

NAME = "negative-weight-decay"
CLASS = "optimizer-misuse"
REMEDIES = ("other", "change-optimizer")


def assess(inquest: Inquest) -> Assessment:
    settings, across = optimizers(inquest), growth(inquest)
    problem = settings.find("weight-decay-negative") if settings is not None else None
    if problem is None:
        return NO
    param = across.param if across is not None else None
    grew = param is not None and param.total > 10
    size = f"; the parameter norm grew from {number(param.first)} to {number(param.last)}" if param is not None else ""
    return Assessment(
        0.92 if grew else 0.5,
        f"The {problem.words[0].lower()}{problem.words[1:]}{size}."
        if not problem.words.startswith("weight")
        else f"{problem.words}{size}.",
        (saw("weight_decay", f"{problem.value:g}", "every step multiplies the weights by more than one"),),
        decisive=("weight-decay",),
        expects={"weight-decay": True, "clip": False, "drop-batch": False},
    )
