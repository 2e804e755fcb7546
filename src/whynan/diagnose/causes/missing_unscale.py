"""Scaled gradients are used as they are

What happens
------------
With `scaler.scale(loss).backward()` the gradients are 65536 times too large until they are unscaled. A plain
`optimizer.step()` uses them like that; `clip_grad_norm_` before `scaler.unscale_` clips the wrong numbers (by 65536
too much or not at all).

How it shows
------------
The source scales the loss, and one of the optimizers steps without the scaler, or clipping comes before `unscale_`.

Experiment
----------
Clipped gradients or a tenth of the learning rate may cure; the true cure is in the order of calls.

Remedies
--------
`scaler.unscale_(optimizer)` before clipping, `scaler.step(optimizer)` for every optimizer, `scaler.update()` once.

Example
-------
    import torch
    p = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.1)
    (p.sum() * 65536).backward()
    optimizer.step()
    assert p < -6000
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.usercode import usercode

NAME = "missing-unscale"
CLASS = "loss-scaling-misuse"
REMEDIES = ("unscale-before-clip", "other")


def assess(inquest: Inquest) -> Assessment:
    code = usercode(inquest)
    if code is None or inquest.first_step:
        return NO
    how = mechanism(inquest)
    plain, clipped = code.scaled_but_plain_step, code.clip_before_unscale
    mixed = (
        code.lines("step")
        if code.lines("scaler.step") and "scale" in code.anywhere and len(code.lines("unscale")) < 2
        else []
    )
    if plain is None and mixed and not code.lines("unscale"):
        plain = mixed[0]
    if plain is not None:
        return Assessment(
            0.92,
            f"The loss is scaled by a GradScaler, but line {plain} steps with the scaled gradients.",
            (
                saw(
                    "order of the calls",
                    f"optimizer.step() in line {plain}, no scaler.step()",
                    "the update is as many times too large as the scale",
                ),
            ),
            decisive=("clip", "lr/10") if how == "overflow" else (),
            expects={"clip": True},
        )
    if mixed:
        return Assessment(
            0.75,
            f"One optimizer steps through the scaler, another one in line {mixed[0]} without it.",
            (
                saw(
                    "order of the calls",
                    f"line {mixed[0]}",
                    "its gradients are still scaled, or hold the Inf that the scaler would have skipped",
                ),
            ),
            expects={"clip": True},
        )
    if clipped is not None:
        return Assessment(
            0.6,
            f"Line {clipped} clips gradients that are still scaled: there is no `unscale_` before it.",
            (
                saw(
                    "order of the calls",
                    f"clip in line {clipped}, unscale_ missing",
                    "the limit applies to gradients times the scale",
                ),
            ),
            expects={"clip": True},
        )
    return NO
