"""The eps of the optimizer is zero in half precision

What happens
------------
Adam divides by sqrt(v) + eps in the precision of its parameters. The default eps of 1e-8 is 0 in float16, and the
square of a small gradient is 0 as well: 0/0 = NaN where the gradient is zero, Inf where it is small.

How it shows
------------
The birth is the division inside of `optimizer.step()`; loss and gradients are finite; parameters are float16. Typical
are rows of an embedding that do not occur in the batch.

Experiment
----------
The same iterations with eps = 4e-3 are finite.

Remedies
--------
Keep master weights and optimizer state in float32 (autocast instead of `.half()`), raise eps, use bfloat16.

Example
-------
    import torch
    p = torch.ones(2, dtype=torch.float16, requires_grad=True)
    optimizer = torch.optim.Adam([p], lr=0.1)
    p.grad = torch.zeros_like(p)
    optimizer.step()
    assert torch.isnan(p).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.optimizers import optimizers

NAME = "optimizer-eps-in-half"
CLASS = "low-precision-underflow"
REMEDIES = ("raise-optimizer-eps", "full-precision", "bfloat16", "change-optimizer")


def assess(inquest: Inquest) -> Assessment:
    e, settings = event(inquest), optimizers(inquest)
    if (
        e is None
        or e.phase != "optimizer"
        or settings is None
        or mechanism(inquest) not in ("div-zero", "div-tiny", "overflow")
    ):
        return NO
    problem = settings.find("eps-rounds")
    if problem is None and not e.low_precision:
        return NO
    if mechanism(inquest) == "overflow" and problem is None:
        return NO
    words = problem.words if problem is not None else f"the denominator is 0 in {e.dtype}"
    return Assessment(
        0.93 if problem is not None else 0.6,
        f"The update divides by zero: {words}, and the squared gradients underflow too.",
        (saw("eps in the precision of the parameters", words, "nothing keeps the denominator above zero"),),
        decisive=("opt-eps", "float32"),
        expects={"opt-eps": True, "lr/10": False, "clip": False, "drop-batch": False},
    )
