"""Sum divided by a count that may be zero

What it does
------------
Finds divisions by the number of selected elements: `mask.sum()`, `(labels != -100).sum()`, `bincount`, a node's
degree.

Why
---
A batch in which nothing is selected is rare and does come: all labels ignored, an empty text, a class without
members. The mean over nothing is 0 / 0.

Bad
---
    import torch

    def masked_mean(x, mask):
        return (x * mask).sum() / mask.sum()

Good
----
    import torch

    def masked_mean(x, mask):
        return (x * mask).sum() / mask.sum().clamp(min=1)

When it is safe
---------------
Where a test of the count or the mask stands before; the rule looks for one. It is also silent about masks of steps,
tokens and chance (attention masks, masks made from lengths, random masks), which keep an entry.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.division import divisions
from whynan.lint.file import File
from whynan.lint.parts import short
from whynan.lint.rule import Hit

CODE = "WN306"
NAME = "mean-over-mask"
CAUSES = ("empty-count", "division-by-zero")
REMEDIES = ("guard-empty", "clamp", "drop-bad-batch")


def check(file: File) -> Iterator[Hit]:
    for d in divisions(file):
        if d.shape == "count":
            yield Hit(d.form.node, f"0 / 0 where nothing is counted: {short(file, d.below.node)} can be 0 ({d.why}).")
