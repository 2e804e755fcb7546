"""Gradients are never cleared

What happens
------------
Without `zero_grad` every backward adds to the gradients of all steps before. The update grows with the number of
steps until training diverges.

How it shows
------------
Gradients are there and not zero at the beginning of iterations, no call in the source clears them, and the gradient
norm rises steadily.

Experiment
----------
The same iterations with gradients cleared after each step are finite.

Remedies
--------
`optimizer.zero_grad()` before backward. When accumulation is meant: step and clear every n-th iteration, and divide
the loss by n.

Example
-------
    import torch
    w = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.5)
    for _ in range(2000):
        loss = (w - 3) ** 2
        loss.backward()
        optimizer.step()
    cleared = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([cleared], lr=0.5)
    for _ in range(2000):
        optimizer.zero_grad()
        ((cleared - 3) ** 2).backward()
        optimizer.step()
    assert abs(cleared - 3) < 1e-3 < abs(w - 3)
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.gradients import leftover
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.usercode import usercode
from whynan.diagnose.words import number

NAME = "missing-zero-grad"
CLASS = "optimizer-misuse"
REMEDIES = ("zero-grad", "lower-learning-rate")


def assess(inquest: Inquest) -> Assessment:
    code, kept = usercode(inquest), leftover(inquest)
    if code is None or not code.never_zeroed or inquest.first_step:
        return NO
    if kept is not None and kept.seen and not kept.kept:
        return NO
    if mechanism(inquest) not in ("overflow", "exp", "masked", "infinities", "cast", "domain", "log-zero"):
        return NO
    across = growth(inquest)
    grad = across.grad if across is not None else None
    size = f"; the gradient norm grew from {number(grad.first)} to {number(grad.last)}" if grad is not None else ""
    return Assessment(
        0.94 if kept is not None and kept.kept else 0.85,
        f"Nothing in the program clears the gradients: each step adds to all before{size}.",
        (
            saw(
                "gradients at the start of iterations",
                f"not zero in {kept.kept if kept else '?'} of {kept.seen if kept else '?'}",
                "they accumulate over the whole run",
            ),
        ),
        decisive=("zero-grad",),
        expects={"zero-grad": True, "lr/10": True, "clip": True},
    )
