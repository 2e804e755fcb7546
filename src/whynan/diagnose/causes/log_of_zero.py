"""Logarithm of zero

What happens
------------
log(0) is -inf, and its derivative 1/0 is Inf. The zero is in the data: digital silence, an empty count, a probability
that is exactly 0.

How it shows
------------
The birth is a logarithm (log, log2, log10, log1p, xlogy, logit, atanh) and its argument is exactly 0 there. Computed
again in float64 the zero stays.

Experiment
----------
With the argument kept above zero at that line only, the same iterations are finite. A lower learning rate only
delays.

Remedies
--------
Clamp or add an eps inside the logarithm, or a formulation that needs no logarithm of it (xlogy for 0 * log 0).

Example
-------
    import torch
    power = torch.zeros(3)
    assert torch.isinf(torch.log10(power)).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.diagnose.words import number

NAME = "log-of-zero"
CLASS = "log-of-zero"
REMEDIES = ("clamp", "add-eps", "stable-formulation")


def assess(inquest: Inquest) -> Assessment:
    e, how = event(inquest), mechanism(inquest)
    if e is None:
        return NO
    given = operands(inquest)
    if how == "pole":
        return Assessment(
            0.82 if e.base == "atanh" else 0.5,  # atanh is made of logarithms
            f"{e.here} is at a pole, where it is infinite.",
            (saw("argument at the bad elements", "at the end of the domain", "log(1 - x) of x = 1"),),
            decisive=("op-guard",),
            expects={"op-guard": True},
        )
    if how == "singular" and e.node in ("log", "log2", "log10", "xlogy", "specialentr"):
        return Assessment(
            0.5,
            f"The argument of {e.here} is 0 or next to it: the derivative 1/x is infinite.",
            expects={"op-guard": True},
        )
    if how == "entered" and e.base in ("_log_softmax", "nll_loss_forward"):
        return Assessment(
            0.45, f"A logit of {e.here} is -inf: its probability is 0, and a target asks for its logarithm."
        )
    if how == "placed" and e.base.startswith(("nll_loss", "cross_entropy", "kl_div")):
        return Assessment(0.4, "The target class has probability 0: its logit is -inf.")
    if how != "log-zero":
        return NO
    x = given.argument() if given is not None else None
    zeros = f" in {x.zeros} of {x.numel} elements" if x is not None and x.zeros and x.exact else ""
    edge = "-1" if e.base == "log1p" else "0"
    return Assessment(
        0.9,
        f"{e.here} takes the logarithm of {edge}{zeros}.",
        (
            saw(
                "argument of the logarithm",
                f"{edge}{zeros}" + (f", elsewhere up to {number(x.absmax)}" if x is not None and x.absmax else ""),
                "log(0) = -inf in every precision",
            ),
        ),
        decisive=("op-guard",),
        expects={"op-guard": True, "drop-batch": True, "clip": False},
    )
