"""A norm or a standard deviation by hand, at zero

What happens
------------
`sqrt(sum(x * x))` has the derivative x / norm, which is 0 / 0 at the origin. PyTorch's own `norm`, `std`, `cdist` and
`dist` define it as 0 there; the hand-written root does not.

How it shows
------------
The birth is the derivative of a square root whose argument, a sum of squares or a variance, is exactly 0: identical
pairs, empty rows, constant columns, layers that start at zero.

Experiment
----------
With the argument kept above zero, at that line only, the same iterations are finite.

Remedies
--------
`x.norm()` or `torch.linalg.vector_norm`, or an eps inside the root.

Example
-------
    import torch
    x = torch.zeros(3, requires_grad=True)
    (x * x).sum().sqrt().backward()
    assert torch.isnan(x.grad).all()
    y = torch.zeros(3, requires_grad=True)
    y.norm().backward()
    assert torch.equal(y.grad, torch.zeros(3))
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.replay.memory import writers

NAME = "norm-at-zero"
CLASS = "singular-gradient"
REMEDIES = ("stable-formulation", "add-eps", "clamp", "safe-where", "drop-bad-batch")

SQUARES = frozenset({"pow", "mul", "square"})


def assess(inquest: Inquest) -> Assessment:
    e, record = event(inquest), inquest.record
    if e is None or record is None or mechanism(inquest) != "singular" or e.node not in ("sqrt", "pow"):
        return NO
    forward = record.forward
    ops: list[str] = []
    at = forward
    while at is not None and at.inputs and len(ops) < 6:
        made = writers(at.inputs[0].area, at.inputs[0].index)
        at = made[0][0] if made else None
        if at is not None:
            ops.append(at.plan.base)
    summed = next((op for op in ops[:3] if op in ("sum", "mean", "var")), None)
    if summed is None or summed != "var" and not SQUARES & set(ops):
        return NO
    given = operands(inquest)
    many = f" in {given.bad:,} of {given.total:,} elements" if given is not None and given.bad else ""
    what = "a variance" if summed == "var" else f"a {summed} of squares"
    return Assessment(
        0.95,
        f"{e.here} is the root of {what} that is exactly 0{many}; its derivative divides by zero.",
        (saw("argument of the root", "exactly 0", "0 / 0 in the derivative; torch's own norm and std give 0 there"),),
        decisive=("op-guard",),
        expects={"op-guard": True, "clip": False, "lr/10": False},
    )
