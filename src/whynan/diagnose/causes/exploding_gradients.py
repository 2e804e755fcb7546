"""Exploding gradients

What happens
------------
Backward multiplies the gradient by the same kind of matrix once per layer or time step. If that multiplies by more
than one, the gradient grows geometrically within a single backward pass: 1.6 per step is 1e49 after 240 steps.

How it shows
------------
The loss is finite and the gradient is not, or the gradient norm jumps by orders of magnitude from one step to the
next. Along the chain of backward ops the largest value grows by a constant factor per repetition of one line of
code.

Experiment
----------
Clipping before the step, a tenth of the learning rate, and another initialization cure a blow-up that passes
through an update. If backward itself overflows, clipping comes too late: shorter sequences or a smaller recurrent
gain cure.

Remedies
--------
Clip gradients before the step, use gated, orthogonal or normalised recurrences, truncate long sequences.

Example
-------
    import torch
    w = 1.6 * torch.eye(4)
    h = torch.zeros(1, 4, requires_grad=True)
    state = h
    for _ in range(240):
        state = torch.tanh(state @ w)
    state.sum().backward()
    assert torch.isfinite(state).all() and not torch.isfinite(h.grad).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.depth import depth
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.words import number

NAME = "exploding-gradients"
CLASS = "exploding-gradients"
REMEDIES = ("clip-gradients", "reinitialize", "lower-learning-rate", "normalization-layer")

JUMP = 100.0  # last gradient norm over the median; 7e3 in our run, 0.3 to 1.2 in sudden faults


def assess(inquest: Inquest) -> Assessment:
    if mechanism(inquest) not in ("overflow", "exp", "derivative-overflow"):
        return NO
    within, across, birth = depth(inquest), growth(inquest), inquest.birth
    assert birth is not None
    expects = {"clip": True, "lr/10": True, "standardise": False, "winsorise": False}
    if within is not None and within.backward and within.total > 1e6:
        repeated = within.repeats >= 5 and within.factor > 1.05
        each = (
            f", {number(within.factor)} times per repetition of line {within.line} ({within.repeats} of them)"
            if repeated
            else ""
        )
        return Assessment(
            0.88 if repeated else 0.7,
            f"Within one backward pass the gradient grows from {number(within.first)} to {number(within.last)}{each}, "
            "and leaves the number range while forward is finite.",
            (
                saw(
                    "largest gradient along the backward pass",
                    f"{number(within.first)} -> {number(within.last)}",
                    "it grows with depth or time, not from step to step",
                ),
            ),
            decisive=("reinit", "clip"),
            expects={"standardise": False},
        )
    if inquest.first_step:
        return NO
    if birth.phase == "optimizer" and birth.op and "addcmul" in birth.op:
        return _squares(inquest, expects)
    grad = across.grad if across is not None else None
    if (
        within is not None
        and not within.backward
        and within.repeats >= 8
        and within.factor > 1.15
        and within.total > 1e6
    ):
        return Assessment(
            0.6,
            f"Within one forward pass the values grow from {number(within.first)} to {number(within.last)}, "
            f"{number(within.factor)} times per repetition of line {within.line}: the recurrence multiplies.",
            (
                saw(
                    "largest value along the forward pass",
                    f"{number(within.factor)} times per repetition",
                    "the recurrence has a gain above one",
                ),
            ),
            decisive=("clip",),
            expects=expects | {"reinit": True},
        )
    if grad is None or grad.jump < JUMP:
        return NO
    sudden = grad.even < 0.5  # most of the growth in the last two steps
    if not sudden and grad.n >= 6:
        return NO  # it grew from step to step, not within one
    return Assessment(
        0.72 if sudden else 0.5,
        f"The gradient norm jumped to {number(grad.last)} in the step before, {number(grad.jump)} times its median; "
        f"the update it made overflows in the next forward pass.",
        (
            saw(
                "gradient norm of the last step over the median",
                f"{number(grad.jump)} times",
                "one update threw the parameters away",
            ),
        ),
        decisive=("clip",),
        expects=expects | {"reinit": True},
    )


def _squares(inquest: Inquest, expects: dict[str, bool]) -> Assessment:
    return Assessment(
        0.6,
        "A gradient is finite but so large that the optimizer cannot square it.",
        (saw("operands of the optimizer's square", "above 1.8e19", "the gradient of this step exploded"),),
        decisive=("clip",),
        expects=expects,
    )
