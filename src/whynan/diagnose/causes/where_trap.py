"""The branch that was not chosen

What happens
------------
`torch.where(x > 0, torch.sqrt(x), 0)` computes both branches. The forward value is right; backward sends a gradient
of 0 into the branch that was not chosen, and 0 times its infinite derivative is NaN. The same happens with
`masked_fill`, `clamp` and multiplication by a mask after the op, and `nan_to_num` hides only the value.

How it shows
------------
The gradient that arrives at the singular op is exactly 0 at the bad elements, and a where, a mask or a clamp
follows the op in the forward pass; or a NaN made in the forward pass never reaches the loss and comes back as a NaN
gradient.

Experiment
----------
With the argument kept inside the domain before the op, the same iterations are finite.

Remedies
--------
The double where: put a safe value in before the op, choose afterwards.

Example
-------
    import torch
    x = torch.tensor([0.0, 4.0], requires_grad=True)
    torch.where(x > 0, torch.sqrt(x), 0.0).sum().backward()
    assert torch.isnan(x.grad[0])
    y = torch.tensor([0.0, 4.0], requires_grad=True)
    torch.where(y > 0, torch.sqrt(torch.where(y > 0, y, 1.0)), 0.0).sum().backward()
    assert torch.isfinite(y.grad).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.chosen import chosen_after
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.upstream import upstream

NAME = "where-trap"
CLASS = "singular-gradient"
REMEDIES = ("safe-where", "clamp", "add-eps")


def assess(inquest: Inquest) -> Assessment:
    e, how = event(inquest), mechanism(inquest)
    if e is None:
        return NO
    choice = chosen_after(inquest)
    if how == "singular":
        above = upstream(inquest)
        if choice is None or above is None or not above.all_zero:
            return NO
        return Assessment(
            0.94,
            f"A gradient of 0 from the `{choice.op}` in line {choice.line} meets the infinite derivative of "
            f"{e.here}: 0 * inf = NaN.",
            (
                saw(
                    "gradient arriving at the bad elements",
                    "exactly 0",
                    "the forward pass did not choose them, backward cannot know",
                ),
            ),
            decisive=("op-guard",),
            expects={"op-guard": True, "clip": False},
        )
    if (
        e.phase == "forward"
        and choice is not None
        and choice.absorbed
        and how in ("domain", "log-zero", "div-zero", "exp", "overflow", "div-tiny")
    ):
        return Assessment(
            0.8 if how == "domain" else 0.42,
            f"{e.here} is bad only where `{choice.op}` (line {choice.line}) does not choose it; the loss is "
            "finite and the gradient is NaN.",
            (
                saw(
                    "the bad value in the forward pass",
                    f"absorbed by {choice.op}",
                    "it comes back in backward as 0 * inf or 0 * NaN",
                ),
            ),
            decisive=("op-guard",),
            expects={"op-guard": True, "clip": False},
        )
    return NO
