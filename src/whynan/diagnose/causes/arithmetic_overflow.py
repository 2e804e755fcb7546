"""Overflow of ordinary arithmetic

What happens
------------
A sum, product, square or matrix product of finite numbers exceeds 3.4e38 (squares: from 1.8e19 on). This is a
mechanism more than a cause: behind it may be the learning rate, a batch, or the initialization. Where none of them
is, the formula itself makes numbers that do not fit.

How it shows
------------
The op is finite in float64 with the same inputs. History, batch and initial weights show nothing unusual.

Experiment
----------
Only float64, or a change of the formula, cures it.

Remedies
--------
Scale before squaring, clamp the diverging term, accumulate in float64, work with logarithms.

Example
-------
    import torch
    distance = torch.tensor(0.0198)
    energy = distance ** -12
    gradient = torch.tensor(2.6e21)
    assert torch.isfinite(energy) and torch.isinf(gradient * gradient)
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.again import in_float64
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.diagnose.words import number

NAME = "arithmetic-overflow"
CLASS = "arithmetic-overflow"
REMEDIES = ("clamp", "stable-formulation", "float64", "normalize-inputs", "clip-gradients")


def assess(inquest: Inquest) -> Assessment:
    e, how = event(inquest), mechanism(inquest)
    if e is None or how not in ("overflow", "div-tiny", "cast", "exp"):
        return NO
    given, again = operands(inquest), in_float64(inquest)
    large = max((o.large for o in given.given if o.large is not None), default=None) if given is not None else None
    fits = f"; float64 gives {number(again.largest)}" if again is not None and again.finite and again.largest else ""
    score = {"overflow": 0.42, "div-tiny": 0.7, "cast": 0.4, "exp": 0.3}[how]
    if e.phase == "optimizer":
        score = 0.72
    return Assessment(
        score,
        f"{e.here if e.phase != 'optimizer' else f'The update ({e.base})'} leaves the range of {e.dtype}: "
        f"its operands go up to {number(large)}{fits}.",
        (
            saw(
                "the op again in float64",
                f"finite, {number(again.largest)}" if fits and again else "not finite either",
                "a question of range",
            ),
        ),
        decisive=("float64",) if e.phase != "optimizer" else ("clip",),
        expects={},
    )
