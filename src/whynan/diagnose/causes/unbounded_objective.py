"""The objective falls without bound

What happens
------------
A penalty is subtracted instead of added, or a reward is maximised that has no limit: the optimizer does what it is
told, the loss goes to minus infinity and the parameters grow by a constant factor per step.

How it shows
------------
The loss is negative and doubles every few steps. The gradient points against the parameters (towards larger ones),
where in a divergence by step size it points along them.

Experiment
----------
A lower learning rate and clipping only delay it; nothing but another objective cures.

Remedies
--------
Turn the sign of the penalty, or bound the reward.

Example
-------
    import torch
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.2)
    for _ in range(400):
        optimizer.zero_grad()
        loss = (w.sum() - 3).abs() - 0.8 * w.square().sum()
        loss.backward()
        optimizer.step()
    assert not torch.isfinite(loss)
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.direction import direction
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.words import number

NAME = "unbounded-objective"
CLASS = "optimizer-misuse"
REMEDIES = ("other", "lower-learning-rate")

OUTWARDS = -0.9  # cosine; -1 for the gradient of a subtracted square


def assess(inquest: Inquest) -> Assessment:
    found, across = direction(inquest), growth(inquest)
    if found is None or not found.falling or inquest.first_step or mechanism(inquest) not in ("overflow", "exp"):
        return NO
    param = across.param if across is not None else None
    constant = param is not None and param.n >= 8 and param.rising > 0.9 and param.factor > 1.02
    outwards = found.cosine is not None and found.cosine < OUTWARDS or found.cosine is None and constant
    grew = (
        f"; the parameter norm grows {number(param.factor)} times per step"
        if param is not None and param.factor > 1.01
        else ""
    )
    loss = across.loss if across is not None else None
    to = f" (-{number(loss.last)})" if loss is not None else ""
    what = "a penalty of the wrong sign" if outwards else "nothing bounds it"
    return Assessment(
        0.9 if outwards else 0.35,
        f"The loss falls without bound{to}: {what}{grew}.",
        (
            saw(
                "sign of the loss", "negative, and growing in size", "an overshooting step would drive it up, not down"
            ),
            saw(
                "cosine between gradient and parameters",
                number(found.cosine),
                "-1: the objective rewards larger parameters",
            ),
        ),
        expects={"zero-grad": False, "drop-batch": False},
    )
