"""Softmax over a row that is masked completely

What happens
------------
Masking with -inf is right as long as one entry of each row stays. A row of nothing but -inf, from an empty
document, a padding query or an isolated node, is 0/0 = NaN.

How it shows
------------
The birth is a softmax, and the row it was given holds -inf everywhere. The infinities themselves are meant.

Experiment
----------
With such rows made uniform, the same iterations are finite; so are they with the batch of the iteration before.

Remedies
--------
`scaled_dot_product_attention` (gives 0), `need_weights=False` in MultiheadAttention, keep one key open, drop empty
rows. In half precision -1e9 as a mask value overflows to -inf.

Example
-------
    import torch
    scores = torch.zeros(2, 3).masked_fill(torch.tensor([[False] * 3, [True] * 3]), float("-inf"))
    assert torch.isnan(torch.softmax(scores, dim=-1)).any(dim=-1).tolist() == [False, True]
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism

NAME = "fully-masked-softmax"
CLASS = "fully-masked-softmax"
REMEDIES = ("mask-safe-softmax", "guard-empty", "drop-bad-batch")


def assess(inquest: Inquest) -> Assessment:
    e, birth = event(inquest), inquest.birth
    if e is None or birth is None:
        return NO
    if mechanism(inquest) == "cast":
        return Assessment(0.4, "A mask value overflows in the cast.") if "mask" in (birth.source or "") else NO
    if mechanism(inquest) != "masked":
        return NO
    rows = f" of sample {', '.join(map(str, birth.rows[:4]))}" if birth.rows else ""
    many = f" ({birth.elements.count} of {birth.elements.total} weights)" if birth.elements is not None else ""
    return Assessment(
        0.93,
        f"{e.here} is a softmax over a row{rows} that is -inf everywhere{many}.",
        (saw("the row that softmax was given", "-inf in every entry", "exp(-inf) sums to 0, and 0/0 is NaN"),),
        decisive=("op-guard",),
        expects={"op-guard": True, "drop-batch": True, "clip": False},
    )
