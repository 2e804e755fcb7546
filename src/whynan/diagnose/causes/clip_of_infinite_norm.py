"""Clipping a norm that is infinite

What happens
------------
`clip_grad_norm_` multiplies by limit / norm. If one gradient entry is Inf, the factor is 0 and Inf * 0 = NaN; all
other gradients become 0. If only the norm overflows (entries of 1e25), every gradient silently becomes 0.

How it shows
------------
The gradient was Inf before the clipping, and the parameter that had it is NaN afterwards while the others did not
move.

Experiment
----------
Skipping the step cures this one; the Inf itself has a cause further up.

Remedies
--------
`error_if_nonfinite=True`, look for the birth of the Inf, skip steps whose norm is not finite.

Example
-------
    import torch
    p = torch.zeros(2, requires_grad=True)
    p.grad = torch.tensor([float("inf"), 1.0])
    torch.nn.utils.clip_grad_norm_([p], 1.0)
    assert torch.isnan(p.grad[0]) and p.grad[1] == 0
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest

NAME = "clip-of-infinite-norm"
CLASS = "optimizer-misuse"
REMEDIES = ("clip-before-step", "other")


def assess(inquest: Inquest) -> Assessment:
    birth = inquest.birth
    if birth is None or not any(
        "clip_grad" in (site.function or "") or "clip_grad" in (site.source or "") for site in birth.stack
    ):
        return NO
    return Assessment(
        0.6,
        "The clipping itself made the value: the norm of the gradients is not finite.",
        (saw("line of the birth", "clip_grad_norm_", "limit / inf = 0, and inf * 0 = NaN"),),
    )
