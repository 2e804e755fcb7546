"""Padding, lengths and labels

What happens
------------
A sample is empty, shorter than expected or padded completely: its length is 0, its mask hides everything, its
target is longer than its input (CTC has no alignment then, the loss is Inf).

How it shows
------------
The birth is a division by a length or count of zero, a softmax over a row without an open key, a mean over ignored
targets, or a CTC loss. Only some rows of the batch are affected.

Experiment
----------
The batch of the iteration before passes.

Remedies
--------
Leave such samples out, clamp lengths to 1, `zero_infinity=True` for CTC, keep one position open.

Example
-------
    import torch
    tokens, lengths = torch.zeros(2, 5), torch.tensor([[3], [0]])
    assert torch.isnan(tokens.sum(1, keepdim=True) / lengths).flatten().tolist() == [False, True]
"""

from __future__ import annotations

import re

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.counts import divisor_count
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.mechanism import mechanism

NAME = "indexing-or-padding"
CLASS = "indexing-or-padding"
REMEDIES = ("drop-bad-batch", "guard-empty", "clamp", "mask-safe-softmax")

_WORDS = re.compile(r"mask|pad|length|lens\b|len\(|count|ignore_index|-100|valid|empty", re.IGNORECASE)


def assess(inquest: Inquest) -> Assessment:
    e, how, birth = event(inquest), mechanism(inquest), inquest.birth
    if e is None or birth is None or e.phase == "optimizer":
        return NO
    if how == "alignment":
        return Assessment(
            0.93,
            f"{e.here} has no alignment: an input is shorter than its target.",
            (saw("CTC loss", "Inf", "the target needs more frames than the input has"),),
            decisive=("op-guard", "drop-batch"),
            expects={"op-guard": True, "drop-batch": True},
        )
    if how not in ("div-zero", "masked", "all-ignored", "empty", "singular", "overflow"):
        return NO
    counted = divisor_count(inquest)
    if how in ("singular", "overflow"):
        return Assessment(0.12, "Padding may be involved.") if _WORDS.search(birth.source or "") else NO
    telling = (
        bool(_WORDS.search(birth.source or ""))
        or counted is not None
        and counted.is_count
        or how in ("masked", "all-ignored")
    )
    few = f", in sample {', '.join(map(str, birth.rows[:4]))} of the batch" if birth.rows else ""
    return Assessment(
        0.55 if telling else 0.35,
        f"A sample without content reaches {e.here}{few}.",
        (saw("rows affected", few.removeprefix(", in ") or "some", "an empty or fully padded sample"),),
        expects={"drop-batch": True},
    )
