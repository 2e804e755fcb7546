"""The learning rate went below zero

What happens
------------
A decay that is counted to the end of a shorter run, `1 - step / total`, goes on past its end and becomes negative:
every step climbs the loss, faster and faster.

How it shows
------------
The learning rate of a group is negative; from that step on the loss grows, after it had fallen for long.

Experiment
----------
The same iterations with the learning rate kept at 0 or above are finite.

Remedies
--------
`max(0.0, ...)` in the schedule, or the number of steps that are really taken.

Example
-------
    import torch
    w = torch.ones(1)
    for step in range(600):
        gradient = 2 * w
        w = w - 0.1 * (1 - step / 9.5) * gradient
    assert not torch.isfinite(w).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.optimizers import optimizers
from whynan.diagnose.words import number

NAME = "negative-learning-rate"
CLASS = "optimizer-misuse"
REMEDIES = ("clamp", "other")

DIVERGED = ("overflow", "exp", "cast", "div-tiny", "masked", "infinities", "derivative-overflow")


def assess(inquest: Inquest) -> Assessment:
    settings, across = optimizers(inquest), growth(inquest)
    problem = settings.find("lr-negative") if settings is not None else None
    if problem is None or inquest.first_step or mechanism(inquest) not in DIVERGED:
        return NO
    series = across.geometric if across is not None else None
    grew = f"; {series.name} grew {number(series.factor)} times per step" if series is not None else ""
    return Assessment(
        0.94 if grew else 0.7,
        f"{problem.words[0].upper()}{problem.words[1:]}: every step goes up the slope{grew}.",
        (saw("learning rate handed to the step", number(problem.value), "the schedule went past its end"),),
        decisive=("positive-lr",),
        expects={"positive-lr": True, "drop-batch": False, "float64": False},
    )
