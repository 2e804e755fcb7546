"""The optimizer divides without an eps

What happens
------------
Adam, RMSprop, Adagrad and their kin divide by the root of a running mean of squared gradients. With eps = 0 a
parameter whose gradient is exactly 0 (an unused row, a dead unit) gets 0/0 = NaN.

How it shows
------------
The birth is the division inside of `optimizer.step()`; loss and gradients are finite, and eps is 0 in the optimizer.

Experiment
----------
The same iterations with a small eps are finite. Learning rate and clipping change nothing.

Remedies
--------
Leave eps at its default, or raise it.

Example
-------
    import torch
    p = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([p], lr=0.1, eps=0.0)
    p.grad = torch.tensor([1.0, 0.0])
    optimizer.step()
    assert torch.isnan(p).tolist() == [False, True]
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.optimizers import optimizers

NAME = "optimizer-eps-zero"
CLASS = "optimizer-misuse"
REMEDIES = ("raise-optimizer-eps", "change-optimizer")


def assess(inquest: Inquest) -> Assessment:
    e, settings = event(inquest), optimizers(inquest)
    if e is None or e.phase != "optimizer":
        return NO
    how = mechanism(inquest)
    problem = settings.find("eps-zero") if settings is not None else None
    if problem is not None and how in ("div-zero", "div-tiny"):
        return Assessment(
            0.95,
            f"The update divides by zero: {problem.words}, and a gradient is exactly 0.",
            (saw("eps of the optimizer", "0", "nothing keeps the denominator above zero"),),
            decisive=("opt-eps",),
            expects={"opt-eps": True, "lr/10": False, "clip": False},
        )
    if how == "div-zero" and not e.low_precision:
        return Assessment(0.6, "The update divides by zero.", decisive=("opt-eps",), expects={"opt-eps": True})
    return NO
