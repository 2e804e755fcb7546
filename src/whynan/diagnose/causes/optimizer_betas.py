"""A beta of the optimizer reaches one

What happens
------------
Adam corrects its averages by 1 - beta ** step. A schedule that raises beta to 1 makes the correction 0, and the
update is divided by it. In a centered RMSprop, E[g^2] - E[g]^2 rounds to a negative number when the gradient hardly
changes.

How it shows
------------
The birth is in `optimizer.step()`, in the division by the bias correction (a Python number that is 0) or in a root.

Experiment
----------
The same iterations with betas kept below 1 are finite.

Remedies
--------
Cap the schedule below 1 (0.9999), do not use `centered=True`.

Example
-------
    import torch
    p = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([p], lr=0.1)
    optimizer.param_groups[0]["betas"] = (0.9, 1.0)
    p.grad = torch.zeros(2)
    optimizer.step()
    assert torch.isnan(p).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.optimizers import optimizers

NAME = "optimizer-betas"
CLASS = "optimizer-misuse"
REMEDIES = ("change-optimizer", "clamp")


def assess(inquest: Inquest) -> Assessment:
    e, settings = event(inquest), optimizers(inquest)
    if e is None or e.phase != "optimizer" or settings is None:
        return NO
    beta, centered = settings.find("beta-one"), settings.find("centered")
    how = mechanism(inquest)
    if beta is not None and how != "overflow":
        return Assessment(
            0.95,
            f"The bias correction 1 - beta ** step is 0: {beta.words}.",
            (saw("betas at the failing step", f"{beta.value:g}", "the update is divided by 1 - beta ** step = 0"),),
            decisive=("betas",),
            expects={"betas": True, "opt-eps": False, "lr/10": False, "clip": False},
        )
    if centered is not None and how in ("domain", "div-zero"):
        return Assessment(
            0.9,
            f"The root of a negative variance: {centered.words}.",
            (saw("E[g^2] - E[g]^2", "negative", "a cancellation in the optimizer's own state"),),
            expects={"opt-eps": False},
        )
    return NO
