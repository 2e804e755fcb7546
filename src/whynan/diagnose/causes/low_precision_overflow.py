"""Overflow of half precision

What happens
------------
float16 ends at 65504. A product, a sum, an exponential or a cast that is perfectly ordinary in float32 is Inf there:
squares from 256 on, exp from 11.1 on, -1e9 as a mask value. (bfloat16 has the range of float32.)

How it shows
------------
The birth op works in float16; the same op on the same inputs in float32 is finite and its largest value is between
65504 and 3.4e38.

Experiment
----------
The same iterations in float32 (autocast off, half tensors widened) are finite.

Remedies
--------
Keep this op in float32, use bfloat16, scale before the product instead of after. Loss scaling does not help: it is
about small gradients, and this is the forward pass.

Example
-------
    import torch
    x = torch.full((4,), 300.0, dtype=torch.float16)
    assert torch.isinf(x * x).all()
    assert torch.isfinite(x.float() * x.float()).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.again import in_float32
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.gradients import scaling
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.shadow import shadow32
from whynan.diagnose.words import number

NAME = "low-precision-overflow"
CLASS = "low-precision-overflow"
REMEDIES = ("full-precision", "bfloat16", "normalize-inputs")


def assess(inquest: Inquest) -> Assessment:
    e, again = event(inquest), in_float32(inquest)
    if e is None or not e.low_precision or e.base.startswith("_amp"):
        return NO
    how = mechanism(inquest)
    if how not in (
        "overflow",
        "exp",
        "cast",
        "div-tiny",
        "derivative-overflow",
        "infinities",
        "placed",
        "masked",
        "unknown",
    ):
        return NO
    shadow = shadow32(inquest)
    finite = again is not None and again.finite
    also = shadow is not None and shadow.finite
    if not finite and not also:
        unseen = (
            inquest.record is None and e.dtype == "float16"
        )  # only the report of a re-run: nothing to compute again
        return (
            NO
            if how in ("masked", "placed", "unknown")
            else Assessment(0.7 if unseen else 0.3, f"{e.here} overflows in {e.dtype}.")
        )
    largest = again.largest if finite and again is not None else shadow.largest if shadow is not None else None
    own_product = e.base == "mul" and inquest.birth is not None and all(o.numel == 1 for o in inquest.birth.outputs)
    scaled = scaling(inquest) if e.node is not None or own_product else None
    score = 0.92 if how != "masked" else 0.6
    return Assessment(
        min(score, 0.72) if scaled is not None and scaled.factor > 64 else score,
        f"{e.here} gives {number(largest)} in float32, more than {e.dtype} can hold (65504).",
        (
            saw(
                "the op again in float32, same inputs",
                f"finite, up to {number(largest)}",
                f"the range of {e.dtype} is the limit, not the mathematics",
            ),
        ),
        decisive=("float32",),
        expects={"float32": True, "lr/10": False, "clip": False, "reinit": False},
    )
