"""Sum divided by lengths that may be zero

What it does
------------
Finds a sum over a dimension divided by a tensor of lengths: `x.sum(1) / lengths[:, None]`.

Why
---
A sequence of length 0 (an empty text after tokenising or cutting) makes it 0 / 0.

Bad
---
    import torch

    def mean_pool(embedded, lengths):
        return embedded.sum(dim=1) / lengths.unsqueeze(1)

Good
----
    import torch

    def mean_pool(embedded, lengths):
        return embedded.sum(dim=1) / lengths.unsqueeze(1).clamp(min=1)

When it is safe
---------------
Where empty sequences are dropped before.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.division import divisions
from whynan.lint.file import File
from whynan.lint.parts import short
from whynan.lint.rule import Hit

CODE = "WN307"
NAME = "mean-by-length"
CAUSES = ("empty-count", "indexing-or-padding")
REMEDIES = ("guard-empty", "clamp", "drop-bad-batch")


def check(file: File) -> Iterator[Hit]:
    for d in divisions(file):
        if d.shape == "length":
            yield Hit(
                d.form.node,
                f"0 / 0 for an empty sequence: {short(file, d.below.node)} is 0 there.",
                doubtful=not file.program,
            )
