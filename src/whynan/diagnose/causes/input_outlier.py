"""One extreme row in a batch

What happens
------------
A batch holds a finite value that is far outside of everything seen before (a glitch, a wrong unit, a fill value
such as 1e36). Products and squares of it leave the range of the number format: float32 squares overflow from 1.8e19
on.

How it shows
------------
The birth is a product, a square, an exponential or a loss that squares; in float64 it is finite. The largest value of
this batch is thousands of times the largest of the batches before it, and the losses before were ordinary.

Experiment
----------
The same iterations with the previous batch in its place, or with the batch limited to the range of earlier batches,
stay finite. A tenth of the learning rate and clipping do not help, because the forward pass overflows.

Remedies
--------
Clip or drop the value where the data are loaded, use a robust loss (Huber), normalise the inputs.

Example
-------
    import torch
    usual, glitch = torch.randn(64), torch.tensor([4.3e27])
    assert torch.isfinite(usual.square().mean())
    assert torch.isinf(torch.cat([usual, glitch]).square().mean())
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.batches import batches
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.words import number

NAME = "input-outlier"
CLASS = "input-scale"
REMEDIES = ("clamp", "drop-bad-batch", "normalize-inputs")

EXTREME = 1e3  # times the usual largest value; z > 1e3 in MEASUREMENTS 3.2


def assess(inquest: Inquest) -> Assessment:
    found = batches(inquest)
    how = mechanism(inquest)
    if (
        found is None
        or found.outlier is None
        or how not in ("overflow", "exp", "cast", "div-tiny", "derivative-overflow")
    ):
        return NO
    o = found.outlier
    if o.ratio < 10 or o.z < 10:
        return NO
    strong = o.ratio >= EXTREME and o.z >= EXTREME
    where = f"row {o.row}" + (f", column {o.column}" if o.column is not None else "") if o.row is not None else ""
    z = f", {number(o.z)} standard deviations from the mean" if o.z < float("inf") else ""
    return Assessment(
        0.9 if strong else 0.5,
        f"`{o.tensor}` holds {number(o.value)} ({where}) where the {found.compared} batches before had at most about "
        f"{number(o.usual)}: {number(o.ratio)} times more{z}.",
        (
            saw(
                "largest value of this batch against earlier batches",
                f"{number(o.ratio)} times",
                "an outlier of this batch alone",
            ),
        ),
        decisive=("winsorise", "drop-batch"),
        expects={"winsorise": True, "drop-batch": True, "lr/10": False, "clip": False, "reinit": False},
    )
