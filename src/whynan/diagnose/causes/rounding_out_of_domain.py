"""Rounding pushes the argument out of the domain

What happens
------------
Mathematically the argument is inside the domain and touches its edge: a cosine of parallel vectors, a variance
computed as E[x^2] - E[x]^2. Rounding makes it 1.0000001 or -1e-9, and acos or sqrt give NaN.

How it shows
------------
The argument is outside of the domain by about the rounding error only, and inside when the ops that produced it are
computed again in float64.

Experiment
----------
With the argument clamped to the domain, at that line only, the same iterations are finite.

Remedies
--------
Clamp by a little more than the rounding error, or a formulation without cancellation (`var`, `atan2`).

Example
-------
    import torch
    x = torch.full((10,), 1.1)
    variance = (x * x).mean() - x.mean() ** 2
    assert variance < 0 and torch.isnan(variance.sqrt())
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.diagnose.measurements.shadow import shadow64
from whynan.diagnose.words import number

NAME = "rounding-out-of-domain"
CLASS = "domain-error"
REMEDIES = ("clamp", "stable-formulation", "float64")


def assess(inquest: Inquest) -> Assessment:
    e, shadow, given = event(inquest), shadow64(inquest), operands(inquest)
    if e is None or shadow is None or given is None or mechanism(inquest) != "domain" or not shadow.finite:
        return NO
    here, there = given.argument(), next((o for o in shadow.given if not o.integer), None)
    return Assessment(
        0.93,
        f"{e.here} gets {number(here.low if here else None)} to {number(here.high if here else None)} where "
        "float64 gives "
        f"{number(there.low if there else None)} to {number(there.high if there else None)}: rounding left the domain.",
        (saw("the producing ops again in float64", "inside the domain", "a rounding error, not the data"),),
        decisive=("op-guard",),
        expects={"op-guard": True, "float64": True, "clip": False},
    )
