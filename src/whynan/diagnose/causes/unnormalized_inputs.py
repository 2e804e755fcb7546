"""Inputs or targets on an extreme scale

What happens
------------
All batches hold large numbers: timestamps in nanoseconds, prices in cents, raw pixel sums. The first products are
already huge, gradients grow with the square of the scale, and one or two updates suffice to leave the number range.

How it shows
------------
It fails in the first steps. Every batch is extreme, not just the failing one, or the columns differ by many orders of
magnitude.

Experiment
----------
With every column standardised the run is finite. Another batch fails too. A tenth of the learning rate only delays
it.

Remedies
--------
Standardise inputs and targets with statistics of the training set; add a normalization layer in front.

Example
-------
    import torch
    torch.manual_seed(0)
    x = 1.7e18 + torch.rand(32, 3) * 1e9
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
    assert not torch.isfinite(loss)
"""

from __future__ import annotations

import math

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.batches import batches
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.words import number

NAME = "unnormalized-inputs"
CLASS = "input-scale"
REMEDIES = ("normalize-inputs", "normalization-layer", "lower-learning-rate")

LARGE = 100.0  # networks are initialised for inputs of about 1; squared errors grow with the square of this
EARLY = 8  # steps


def assess(inquest: Inquest) -> Assessment:
    found, birth = batches(inquest), inquest.birth
    if found is None or birth is None or found.scale < LARGE:
        return NO
    if mechanism(inquest) not in ("overflow", "exp", "cast", "div-tiny", "log-zero", "singular"):
        return NO
    extreme = math.log10(found.scale)
    score = min(0.86, 0.25 + 0.06 * extreme) + (0.08 if inquest.updates <= EARLY else -0.15)
    if mechanism(inquest) in ("log-zero", "singular", "exp"):
        score = min(score, 0.4)  # it may have driven the op to its edge; the op is the nearer cause
    if found.outlier is not None and found.outlier.ratio > 1e3:
        score = min(score, 0.4)
    spread = f"; its columns differ by a factor of {number(found.spread)}" if found.spread > 1e3 else ""
    return Assessment(
        max(0.0, min(score, 0.9)),
        f"All batches are extreme: `{found.scale_of or 'the input'}` goes up to {number(found.scale)}{spread}, "
        f"and it fails at step {inquest.updates}.",
        (
            saw(
                "scale of the data",
                f"up to {number(found.scale)} in every batch",
                "products and squares of it leave the range",
            ),
        ),
        decisive=("standardise",),
        expects={"standardise": True, "drop-batch": False, "winsorise": False, "reinit": False},
    )
