"""The optimizer climbs the loss

What happens
------------
`maximize=True` in the optimizer, left over from a search or from a reward, turns every step around: a loss that
should fall is pushed up until its squares overflow.

How it shows
------------
The optimizer's group says maximize, and the loss grows geometrically.

Experiment
----------
The same iterations with maximize off are finite, and the loss falls.

Remedies
--------
Remove `maximize=True`, or negate what is to be maximised.

Example
-------
    import torch
    w = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0, maximize=True)
    for _ in range(100):
        optimizer.zero_grad()
        (w ** 2).backward()
        optimizer.step()
    assert not torch.isfinite(w ** 2)
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.optimizers import optimizers
from whynan.diagnose.words import number

NAME = "maximizing-optimizer"
CLASS = "optimizer-misuse"
REMEDIES = ("other", "change-optimizer")


def assess(inquest: Inquest) -> Assessment:
    settings, across = optimizers(inquest), growth(inquest)
    problem = settings.find("maximize") if settings is not None else None
    if problem is None or inquest.first_step or mechanism(inquest) not in ("overflow", "exp", "masked", "infinities"):
        return NO
    loss = across.loss if across is not None else None
    grew = (
        f"; the loss grew from {number(loss.first)} to {number(loss.last)}"
        if loss is not None and loss.total > 1
        else ""
    )
    return Assessment(
        0.93 if loss is not None and loss.total > 10 else 0.6,
        f"{problem.words}{grew}.",
        (saw("settings of the optimizer", "maximize=True", "every step goes up the slope"),),
        decisive=("minimize",),
        expects={"minimize": True, "drop-batch": False},
    )
