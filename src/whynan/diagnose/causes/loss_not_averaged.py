"""Accumulated or summed losses without a division

What happens
------------
The losses of several micro-batches, or of all elements, are added up and not divided by their number. The gradient
is n times larger than that of a mean, and a learning rate that was right for the mean is n times too high.

How it shows
------------
Loss and gradients grow geometrically, the step is taken every n-th iteration (or the loss is a sum), and nothing
divides.

Experiment
----------
A tenth of the learning rate cures, like any division of the loss would.

Remedies
--------
Divide the loss by the number of micro-batches or elements; or lower the learning rate by that factor.

Example
-------
    import torch
    x, y = torch.ones(64, 1), torch.ones(64, 1)
    w = torch.zeros(1, 1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        ((x @ w - y) ** 2).sum().backward()
        optimizer.step()
    assert not torch.isfinite(w).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.usercode import usercode
from whynan.diagnose.words import number

NAME = "loss-not-averaged"
CLASS = "optimizer-misuse"
REMEDIES = ("lower-learning-rate", "other")


def assess(inquest: Inquest) -> Assessment:
    code, across = usercode(inquest), growth(inquest)
    series = across.geometric if across is not None else None
    if code is None or series is None or code.divides or not (code.conditional or code.sums):
        return NO
    if mechanism(inquest) not in ("overflow", "exp"):
        return NO
    what = "the losses of several micro-batches" if code.conditional else "a loss that is a sum"
    return Assessment(
        0.6 if code.conditional else 0.35,
        f"Gradients of {what} are added up without a division; {series.name} grew {number(series.factor)} times "
        "per step.",
        (saw("source of the training loop", what, "the effective learning rate is that many times larger"),),
        decisive=(),
        expects={"lr/10": True, "clip": True, "drop-batch": False},
    )
