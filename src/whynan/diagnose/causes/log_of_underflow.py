"""Logarithm of a probability that underflowed

What happens
------------
A softmax or sigmoid gives a probability so small that it is stored as 0 (a logit gap above 104 in float32, 17 in
float16), or so close to 1 that 1 - p is 0 (a logit above 16.6). The logarithm behind it is -inf, although the true
value is an ordinary number such as -120.

How it shows
------------
The birth is a logarithm of exactly 0, and the ops that produced its argument (softmax, sigmoid, exp, a subtraction
from 1) give a number above 0 when computed again in float64.

Experiment
----------
With the argument kept above zero at that line only, the same iterations are finite. A lower learning rate only delays
(from step 15 to 117 in our run), float64 delays too.

Remedies
--------
Work on logits: log_softmax, logsigmoid, cross_entropy, binary_cross_entropy_with_logits. An eps is the lesser cure.

Example
-------
    import torch
    logits = torch.tensor([0.0, 120.0])
    assert torch.isinf(torch.log(torch.softmax(logits, 0))).any()
    assert torch.isfinite(torch.log_softmax(logits, 0)).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.shadow import shadow32, shadow64
from whynan.diagnose.words import number

NAME = "log-of-underflow"
CLASS = "log-of-zero"
REMEDIES = ("stable-formulation", "clamp", "add-eps")

SQUASHING = {"_softmax": "softmax", "sigmoid": "sigmoid", "exp": "exp", "_safe_softmax": "softmax", "tanh": "tanh"}

PRODUCTS = frozenset("mul mm bmm baddbmm prod cumprod pow".split())
FACTORS = 3  # products one after the other that are no longer the way of one squashed value to the logarithm
PRODUCT = "a product of many small numbers"


def _made_by(ops: tuple[str, ...]) -> str | None:
    """What underflowed, by the ops that led to the argument: many products, else the last squashing function."""
    last = max((i for i, op in enumerate(ops) if op in SQUASHING), default=-1)
    if sum(op in PRODUCTS for op in ops[last + 1 :]) >= FACTORS:
        return PRODUCT
    name = SQUASHING[ops[last]] if last >= 0 else ""
    return f"{'an' if name.startswith('e') else 'a'} {name}" if name else None


def assess(inquest: Inquest) -> Assessment:
    e, shadow = event(inquest), shadow64(inquest)
    if e is None or shadow is None or mechanism(inquest) != "log-zero":
        return NO
    made = _made_by(shadow.ops)
    if not shadow.finite and (made is None or made == PRODUCT):
        return NO  # 0 in float64 as well, and nothing that squashes: a true zero
    result = f"the result of {made}" if made else "a result"
    argument = next((o for o in shadow.given if not o.integer and o.small), None)
    small = number(argument.small) if argument is not None and shadow.finite else None
    true = f"; in float64 it is {small}" if small else "; even in float64 it underflows"
    wider = shadow32(inquest)
    return Assessment(
        0.6 if wider is not None and wider.finite else 0.95,  # half precision is to blame then
        f"{e.here} takes the logarithm of 0, {result} that underflowed{true}.",
        (
            saw(
                "the producing ops again in float64",
                small or "0",
                f"the zero is an underflow; work {'with logarithms' if made == PRODUCT else 'on the logits'} instead",
            ),
        ),
        decisive=("op-guard",),
        expects={"op-guard": True, "clip": False},
    )
