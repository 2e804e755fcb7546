"""The loss scale is too large

What happens
------------
For float16 the loss is multiplied before backward (65536 by default) so that small gradients do not vanish. A fixed
scale, or one that only grows, drives the gradients beyond 65504; a float16 loss above 1 overflows in the
multiplication itself.

How it shows
------------
Forward is finite. The birth is in the backward pass (or in the product of loss and scale) in float16, and the loss
was multiplied by a large power of two.

Experiment
----------
In float32 the same iterations are finite; so would they be with a smaller scale.

Remedies
--------
`torch.amp.GradScaler` (skips the step and halves the scale), a smaller initial scale, the loss in float32, bfloat16.

Example
-------
    import torch
    loss = torch.tensor(1.5, dtype=torch.float16)
    assert torch.isinf(loss * 65536)
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.gradients import scaling
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.words import number

NAME = "loss-scaling-misuse"
CLASS = "loss-scaling-misuse"
REMEDIES = ("full-precision", "bfloat16", "other")


def assess(inquest: Inquest) -> Assessment:
    e, found = event(inquest), scaling(inquest)
    if e is None or found is None or not e.low_precision or found.factor < 64:
        return NO
    if mechanism(inquest) not in ("overflow", "cast", "exp", "derivative-overflow"):
        return NO
    in_backward = e.node is not None or e.phase == "backward"
    own_product = e.base == "mul" and not in_backward and inquest.birth is not None and _scalar(inquest)
    if not in_backward and not own_product:
        return NO
    what = "the product of loss and scale" if own_product else "a gradient"
    return Assessment(
        0.93 if own_product else 0.9,
        f"The loss is scaled by {number(found.factor)} ({found.by}); {what} exceeds 65504, the largest float16.",
        (
            saw(
                "loss scale at the failing step",
                number(found.factor),
                "forward is finite, only the scaled numbers overflow",
            ),
        ),
        decisive=("float32",),
        expects={"float32": True, "clip": False, "lr/10": False},
    )


def _scalar(inquest: Inquest) -> bool:
    outputs = inquest.birth.outputs if inquest.birth is not None else ()
    return bool(outputs) and outputs[0].numel == 1
