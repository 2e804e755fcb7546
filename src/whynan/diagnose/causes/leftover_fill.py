"""A fill of -inf that nothing was written over

What happens
------------
A maximum over groups starts from `full(..., -inf)`, or masked entries are set to -inf before `max`. A group without
members, or a row that is masked as a whole, keeps the -inf, and the next layer computes with it: -inf times weights of
both signs is Inf - Inf.

How it shows
------------
The op of the birth reads infinities that the program itself has placed, on their way through a scatter or a maximum.
The batch has an empty group, an empty cell, or a row of nothing but padding.

Experiment
----------
With 0 in the place of the infinities at that line only, the same iterations are finite.

Remedies
--------
Give what stays empty a value of its own after the maximum (`masked_fill(x.isinf(), 0.0)`), or leave it out.

Example
-------
    import torch
    cells = torch.full((2, 1), -torch.inf).scatter_reduce(0, torch.zeros(3, 1).long(), torch.rand(3, 1), "amax")
    assert torch.isnan(cells @ torch.tensor([[1.0, -1.0]]) @ torch.ones(2, 1)).any()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.fill import leftover
from whynan.diagnose.measurements.mechanism import mechanism

NAME = "leftover-fill"
CLASS = "indexing-or-padding"
REMEDIES = ("guard-empty", "drop-bad-batch")


def assess(inquest: Inquest) -> Assessment:
    e, found = event(inquest), leftover(inquest)
    if e is None or found is None or mechanism(inquest) != "infinities":
        return NO
    placed = f"`{found.text}` (line {found.line})" if found.line else "the program"
    return Assessment(
        0.9,
        f"The infinities that {placed} puts in are still there after `{found.by}`, in {found.left:,} of "
        f"{found.total:,} elements: nothing belongs there, and {e.here} computes with them.",
        (saw("elements that were never written over", f"{found.left:,} of {found.total:,}", "an empty group or row"),),
        decisive=("op-guard",),
        expects={"op-guard": True, "clip": False, "lr/10": False},
    )
