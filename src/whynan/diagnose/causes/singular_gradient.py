"""The derivative is infinite

What happens
------------
A function is finite where its derivative is not: sqrt at 0, a power below 1 at 0, acos and acosh at 1, xlogy at (0,
0). Backward computes 1/0 there, or 0/0.

How it shows
------------
Loss and forward pass are finite; the birth is in backward, in the derivative of that function, and its argument is
exactly at the edge at those elements.

Experiment
----------
With the argument kept off the edge, at that line only, the same iterations are finite.

Remedies
--------
An eps inside the function (sqrt(x + eps), not sqrt(x) + eps), a clamp before it, or a formulation with a defined
subgradient (`norm`, `std`).

Example
-------
    import torch
    x = torch.zeros(1, requires_grad=True)
    x.sqrt().sum().backward()
    assert torch.isinf(x.grad).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.diagnose.measurements.upstream import upstream
from whynan.diagnose.words import number

NAME = "singular-gradient"
CLASS = "singular-gradient"
REMEDIES = ("add-eps", "clamp", "stable-formulation", "safe-where", "drop-bad-batch")


def assess(inquest: Inquest) -> Assessment:
    e, how = event(inquest), mechanism(inquest)
    if e is None:
        return NO
    if how == "linalg" and e.node is not None:
        return Assessment(
            0.6, f"The derivative of {e.here} does not exist for this matrix.", expects={"op-guard": True}
        )
    if how == "derivative-overflow":
        return Assessment(0.55, f"The derivative of {e.here} is infinite in {e.dtype}.", expects={"op-guard": True})
    if how != "singular":
        return NO
    given, above = operands(inquest), upstream(inquest)
    x = given.forward_argument() if given is not None else None
    value = x.small if x is not None and x.small is not None else None
    at = f" at {number(x.low if x.low == x.high else value)}" if x is not None and value is not None else ""
    many = f" in {given.bad:,} of {given.total:,} elements" if given is not None and given.bad else ""
    came = " times an incoming gradient of 0 is NaN" if above is not None and above.all_zero else " is infinite"
    return Assessment(
        0.9,
        f"The forward pass is finite, but the derivative of {e.here}{at}{many}{came}.",
        (
            saw(
                "argument in the forward pass",
                number(value) if value is not None else "at the edge",
                "finite value, infinite slope",
            ),
        ),
        decisive=("op-guard",),
        expects={"op-guard": True, "clip": False, "lr/10": False},
    )
