"""Overflow of the exponential

What happens
------------
exp(x) is Inf from x = 88.73 on in float32 (11.1 in float16, 709.8 in float64). Softmax written by hand, log
variances, importance ratios and perplexities get there quickly, and Inf / Inf or Inf * 0 make NaN of it.

How it shows
------------
The birth is exp, expm1, sinh, cosh, or a loss that contains one, with a finite argument above the edge; float64 is
finite up to 709.

Experiment
----------
With the argument limited, at that line only, the same iterations are finite.

Remedies
--------
Stay in log space (logsumexp, softmax, softplus, log_prob differences), or clamp the argument.

Example
-------
    import torch
    scores = torch.tensor([1.0, 90.0])
    assert torch.isnan(torch.exp(scores) / torch.exp(scores).sum()).any()
    assert torch.isfinite(torch.softmax(scores, 0)).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.diagnose.words import number

NAME = "exp-overflow"
CLASS = "exp-overflow"
REMEDIES = ("stable-formulation", "clamp", "normalize-inputs")


def assess(inquest: Inquest) -> Assessment:
    e = event(inquest)
    if e is None or mechanism(inquest) != "exp":
        return NO
    given = operands(inquest)
    x = given.argument() if given is not None else None
    top = max(abs(x.low or 0.0), abs(x.high or 0.0)) if x is not None and x.high is not None else None
    at = f" of {number(top)}" if top is not None else ""
    many = f" in {given.bad:,} of {given.total:,} elements" if given is not None and given.bad else ""
    return Assessment(
        0.84,
        f"{e.here} takes the exponential{at}{many}; float32 ends at exp(88.7)." if e.dtype != "float16" else
        f"{e.here} takes the exponential{at}{many}; float16 ends at exp(11.1).",
        (saw("argument of the exponential", number(top) if top is not None else "above the edge", "the result "
        "leaves the range; its logarithm would not"),),
        decisive=("op-guard",),
        expects={"op-guard": True},
    )  # fmt: skip
