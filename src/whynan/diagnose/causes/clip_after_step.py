"""Gradients are clipped after the step

What happens
------------
`clip_grad_norm_` stands after `optimizer.step()`: the update was made with the unclipped gradients, and `zero_grad`
throws the clipped ones away. Clipping is in the code and does nothing.

How it shows
------------
In the source of the training loop the call stands behind the step (or before backward). The gradient norm grew far
beyond the limit before the failure.

Experiment
----------
The same iterations with gradients clipped before each step are finite.

Remedies
--------
Move the call between backward and step (after `scaler.unscale_` where there is a scaler).

Example
-------
    import torch
    p = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=1.0)
    p.grad = torch.tensor([1e30])
    optimizer.step()
    torch.nn.utils.clip_grad_norm_([p], 1.0)
    assert p.abs() > 1e29
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.usercode import usercode
from whynan.diagnose.words import number

NAME = "clip-after-step"
CLASS = "optimizer-misuse"
REMEDIES = ("clip-before-step",)


def assess(inquest: Inquest) -> Assessment:
    code = usercode(inquest)
    found = code.clip_after_step if code is not None else None
    if (
        found is None
        or inquest.first_step
        or mechanism(inquest) not in ("overflow", "exp", "masked", "infinities", "cast")
    ):
        return NO
    clip, step = found
    across = growth(inquest)
    grad = across.grad if across is not None else None
    large = grad is not None and (grad.jump > 10 or grad.total > 100)
    size = (
        f"; the gradient norm went up to {number(grad.last)}, {number(grad.jump)} times its median"
        if grad is not None and large
        else ""
    )
    return Assessment(
        0.93 if large else 0.5,
        f"Gradients are clipped in line {clip}, but the step in line {step} is made without it{size}.",
        (
            saw(
                "order of the calls",
                f"step in line {step}, clip in line {clip}",
                "the clipped gradients are never used",
            ),
        ),
        decisive=("clip",),
        expects={"clip": True, "lr/10": True, "drop-batch": False, "winsorise": False},
    )
