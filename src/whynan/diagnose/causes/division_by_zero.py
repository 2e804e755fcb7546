"""Division by zero

What happens
------------
x / 0 is Inf and 0 / 0 is NaN. The divisor is a length, a norm, a standard deviation, a count or a range (max - min)
that happens to be zero for one sample.

How it shows
------------
The birth is a division, a reciprocal, an rsqrt or a remainder whose divisor is exactly 0 there. In float64 it is
still 0.

Experiment
----------
With a divisor of 1 in the place of 0, at that line only, the same iterations are finite.

Remedies
--------
Clamp the divisor or add an eps to it (for `x / x.norm()`: F.normalize), or leave out the empty sample.

Example
-------
    import torch
    x = torch.zeros(1, 4)
    assert torch.isnan(x / x.norm(dim=1, keepdim=True)).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.counts import divisor_count
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands

NAME = "division-by-zero"
CLASS = "division-by-zero"
REMEDIES = ("clamp", "add-eps", "guard-empty", "safe-where", "stable-formulation", "drop-bad-batch")


def assess(inquest: Inquest) -> Assessment:
    e, how = event(inquest), mechanism(inquest)
    if e is None:
        return NO
    if how == "nonfinite-scalar" and e.phase == "optimizer":
        return Assessment(0.45, "A division by zero outside of the tensors can have made the non-finite number.")
    if e.phase == "optimizer" and how == "div-zero":
        return Assessment(0.45, "The optimizer divides by zero.")
    if how == "singular" and e.node in ("div", "reciprocal", "rsqrt", "norm"):
        return Assessment(
            0.4,
            f"The derivative of {e.here} divides by the square of a divisor that is 0 or next to it.",
            expects={"op-guard": True},
        )
    if how in ("div-tiny", "derivative-overflow"):
        given = operands(inquest)
        small = min((o.small for o in given.given if o.small), default=1.0) if given is not None else 1.0
        subnormal = how == "div-tiny" and small < 3e-38  # zero in all but name
        return Assessment(
            0.75 if subnormal else 0.5, f"The divisor in {e.here} is almost zero.", expects={"op-guard": True}
        )
    if how != "div-zero":
        return NO
    given = operands(inquest)
    inverse = e.base in ("reciprocal", "rsqrt")  # `1 / x`: the operand is the divisor
    x = given.of("self", "tensor1") if given is not None and not inverse else None
    zero_over = x is not None and x.all_zero
    what = "0 / 0" if zero_over or (e.kind == "nan") else "a division by 0"
    many = f" in {given.bad:,} of {given.total:,} elements" if given is not None and given.bad else ""
    total = divisor_count(inquest)
    score = 0.9
    if total is not None and total.whole and total.is_count:
        score = 0.74  # a count over the whole batch: better called an empty reduction
    return Assessment(
        score,
        f"{e.here} is {what}{many}.",
        (saw("divisor at the bad elements", "exactly 0", "no precision makes this finite"),),
        decisive=("op-guard",),
        expects={"op-guard": True, "clip": False, "lr/10": False},
    )
