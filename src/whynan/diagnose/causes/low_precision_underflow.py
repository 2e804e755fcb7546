"""Underflow of half precision

What happens
------------
A number that protects from zero is itself zero: 1e-8 rounds to 0 in float16 (its smallest number is 6e-8), and so
does a small probability. The logarithm or the division behind it then sees an exact zero.

How it shows
------------
The operand is exactly 0 in half precision and not 0 when the ops that produced it are computed again in float32.

Experiment
----------
The same iterations in float32 are finite.

Remedies
--------
An eps that the precision can hold (in float16 at least 1e-7 to be non-zero, 4e-3 for the gradient of 1/(x+eps)), or
float32 for these ops.

Example
-------
    import torch
    p = torch.zeros(1, dtype=torch.float16)
    assert torch.isinf(torch.log(p + 1e-8)).all()
    assert torch.isfinite(torch.log(p.float() + 1e-8)).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.shadow import shadow32
from whynan.diagnose.words import number

NAME = "low-precision-underflow"
CLASS = "low-precision-underflow"
REMEDIES = ("full-precision", "add-eps", "bfloat16", "stable-formulation")


def assess(inquest: Inquest) -> Assessment:
    e, shadow = event(inquest), shadow32(inquest)
    if e is None or e.phase not in ("forward", "backward") or shadow is None:
        return NO
    if mechanism(inquest) not in ("log-zero", "div-zero", "singular", "domain", "derivative-overflow", "div-tiny"):
        return NO
    if not shadow.finite:
        return NO
    argument = next((o for o in (*shadow.given, *shadow.forward) if o.small), None)
    small = number(argument.small) if argument is not None else "not zero"
    return Assessment(
        0.93,
        f"The operand of {e.here} is 0 in {e.dtype if e.low_precision else 'half precision'} and {small} in float32: "
        "it underflowed.",
        (
            saw(
                "the producing ops again in float32",
                f"smallest operand {small}, result finite",
                "the zero is a rounding, not the mathematics",
            ),
        ),
        decisive=("float32",),
        expects={"float32": True, "op-guard": True, "lr/10": False, "clip": False},
    )
