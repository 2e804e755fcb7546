"""NaN or Inf in the data

What happens
------------
A batch or a target holds NaN or Inf before any computation of the step begins: a missing value in a file, a
division or a logarithm in the preprocessing, a corrupt record. One such value makes the loss NaN and, with the next
update, every parameter.

How it shows
------------
The first non-finite tensor of the step is the batch itself. Single rows or columns are affected, and batches before
it were clean.

Experiment
----------
The same iteration with the bad values replaced by column means stays finite; so does the batch of the iteration
before. Changing the learning rate, clipping or float64 change nothing.

Remedies
--------
Impute or drop the values where the data are loaded, skip batches that are not finite, or compute the loss over the
known values only. `nan_to_num(x, nan=x.mean())` does not work: the mean of a column with NaN is NaN.

Example
-------
    import torch
    x = torch.tensor([[1.0, 2.0], [float("nan"), 4.0]])
    loss = torch.nn.Linear(2, 1)(x).square().mean()
    assert torch.isnan(loss)
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.entering import entered
from whynan.diagnose.words import count, listed

NAME = "bad-input"
CLASS = "bad-input"
REMEDIES = ("impute-inputs", "drop-bad-batch")


def assess(inquest: Inquest) -> Assessment:
    found, birth = entered(inquest), inquest.birth
    in_batch = found is not None and found.kind in ("item", "local")
    in_data = birth is not None and birth.phase == "data"
    if not in_batch and not in_data:
        return NO
    what = birth.tensor if birth is not None and birth.tensor else found.name if found is not None else "the batch"
    what = f"`{what}`" if " " not in what else what
    rows = birth.rows if birth is not None else ()
    bad = birth.elements.count if birth is not None and birth.elements is not None else None
    where = f" in {count(len(rows), 'row')} ({listed(rows[:4])}{', ...' if len(rows) > 4 else ''})" if rows else ""
    value = "NaN" if birth is not None and birth.kind == "nan" else "Inf"
    made = birth is not None and (birth.op is not None or birth.api == "numpy")
    many = f"{count(bad, 'non-finite value')}" if bad is not None else f"{value} values"
    step = birth.step if birth is not None else inquest.step
    source = f"; line {birth.line} makes them" if made and birth is not None and birth.line else ""
    return Assessment(
        # the op in the user's preprocessing is the better name for what has to be changed, where it is known
        0.7 if made else 0.92,
        f"The batch of step {step} already holds {many}{where} in {what} before the model sees it{source}.",
        (
            saw(
                "values of the batch before the step",
                f"{many} in {what}{where}",
                "the data are to blame, not the model",
            ),
        ),
        decisive=("impute", "drop-batch"),
        # where the batch is made in the body of the loop, exchanging the loop's item need not exchange it
        expects={"impute": True} | ({"drop-batch": True} if found is None or found.kind == "item" else {}),
    )
