"""Argument outside of the domain

What happens
------------
The square root or logarithm of a negative number, a fractional power of one, the arc cosine of a number above 1: NaN.

How it shows
------------
The birth is such an op and its argument is outside of the domain at the bad elements, in float64 as well.

Experiment
----------
With the argument kept inside the domain, at that line only, the same iterations are finite.

Remedies
--------
Clamp before the op, take the absolute value, parametrise with softplus or exp. `nan_to_num` afterwards cleans the
value and leaves the gradient NaN.

Example
-------
    import torch
    pixels = torch.tensor([0.2, -0.043])
    assert torch.isnan(pixels ** 1.097).tolist() == [False, True]
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.diagnose.words import number

NAME = "domain-error"
CLASS = "domain-error"
REMEDIES = ("clamp", "stable-formulation", "safe-where")


def assess(inquest: Inquest) -> Assessment:
    e, how = event(inquest), mechanism(inquest)
    if e is None or e.phase == "optimizer":
        return NO
    given = operands(inquest)
    x = given.argument() if given is not None else None
    worst = _worst(x.low, x.high) if x is not None and x.low is not None and x.high is not None else None
    if how == "pole":
        return Assessment(0.8, f"{e.here} is evaluated at {number(worst)}, at the end of its domain, where it "
        "is infinite.",
                          (saw("argument at the bad elements", number(worst), "the function has a pole there"),),
                          decisive=("op-guard",), expects={"op-guard": True})  # fmt: skip
    if how == "singular" and e.node in ("acosh", "acos", "asin", "atanh"):
        return Assessment(0.4, f"The argument of {e.here} is at the end of the domain.", expects={"op-guard": True})
    if how != "domain":
        return NO
    at = f" of {number(worst)}" if worst is not None else ""
    many = f", in {given.bad:,} of {given.total:,} elements" if given is not None and given.bad else ""
    return Assessment(
        0.9,
        f"{e.here} is asked for the {e.base or 'value'}{at}{many}: outside of its domain.",
        (
            saw(
                "argument at the bad elements",
                number(worst) if worst is not None else "outside",
                "the function is not defined there",
            ),
        ),
        decisive=("op-guard",),
        expects={"op-guard": True, "clip": False},
    )


def _worst(low: float, high: float) -> float:
    return high if high > 1 and low >= 0 else low
