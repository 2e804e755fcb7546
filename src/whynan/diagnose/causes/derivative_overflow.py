"""The derivative of a division overflows

What happens
------------
a / b is finite and its derivative a / b^2 is not: with b = 2.7e-23 the quotient may be 1e21 and the derivative 4e43.
Scalings as in Sinkhorn iterations and normalised weights get there.

How it shows
------------
The loss is finite; the birth is in the backward pass of a division whose divisor is tiny but not zero; the
derivative is finite in float64.

Experiment
----------
With tiny divisors replaced, at that line only, or in float64, the same iterations are finite.

Remedies
--------
The same algorithm in log space, a larger regulariser, float64 for this part.

Example
-------
    import torch
    b = torch.tensor(2.7e-23, requires_grad=True)
    quotient = 0.03 / b
    quotient.backward()
    assert torch.isfinite(quotient) and torch.isinf(b.grad)
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.diagnose.words import number

NAME = "derivative-overflow"
CLASS = "arithmetic-overflow"
REMEDIES = ("stable-formulation", "float64", "clamp")


def assess(inquest: Inquest) -> Assessment:
    e = event(inquest)
    if e is None or mechanism(inquest) != "derivative-overflow":
        return NO
    given = operands(inquest)
    divisor = next((o for o in (given.forward if given else ()) if o.name == "other"), None)
    small = number(divisor.small) if divisor is not None else "tiny"
    return Assessment(
        0.82,
        f"The divisor of {e.here} is {small}: the quotient is finite, its derivative a/b^2 is not.",
        (saw("smallest divisor", small, "below 5.4e-20 the square of it underflows or its reciprocal overflows"),),
        decisive=("op-guard", "float64"),
        expects={"op-guard": True, "float64": True, "clip": False},
    )
