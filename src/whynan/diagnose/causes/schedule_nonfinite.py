"""A schedule returns NaN or Inf

What happens
------------
The learning rate, a decay or another number that the optimizer is given is computed in Python and becomes NaN or Inf:
0/0 in a cosine schedule without decay steps, 1/sqrt(0) in a warm-up. Python and numpy do not raise, the optimizer
multiplies all parameters by it.

How it shows
------------
Loss, gradients and parameters are finite before `step()`; the birth is in it, and the argument is a non-finite Python
number.

Experiment
----------
The same iterations with the last finite learning rate are finite.

Remedies
--------
Guard the formula: max(1, steps), a clamp of the ratio.

Example
-------
    import torch
    p = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.1)
    optimizer.param_groups[0]["lr"] = float("nan")
    p.grad = torch.ones(2)
    optimizer.step()
    assert torch.isnan(p).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.optimizers import optimizers

NAME = "schedule-nonfinite"
CLASS = "optimizer-misuse"
REMEDIES = ("guard-empty", "clamp")


def assess(inquest: Inquest) -> Assessment:
    e, settings = event(inquest), optimizers(inquest)
    if e is None or e.phase != "optimizer":
        return NO
    problem = settings.find("lr-nonfinite") if settings is not None else None
    if problem is not None:
        return Assessment(
            0.95,
            f"{problem.words[0].upper()}{problem.words[1:]}, while loss and gradients are finite.",
            (saw("learning rate handed to the step", str(problem.value), "the schedule computed it"),),
            decisive=("finite-lr",),
            expects={"finite-lr": True, "clip": False, "lr/10": False, "opt-eps": False},
        )
    if mechanism(inquest) == "nonfinite-scalar" and e.nonfinite_scalar is not None:
        return Assessment(
            0.88,
            f"The optimizer was given {e.nonfinite_scalar[0]}={e.nonfinite_scalar[1]} by the program.",
            (
                saw(
                    "Python number in the update",
                    str(e.nonfinite_scalar[1]),
                    "a setting of the optimizer is not finite",
                ),
            ),
            decisive=("finite-lr",),
            expects={"clip": False},
        )
    return NO
