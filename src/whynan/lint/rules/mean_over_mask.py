"""Sum divided by a count that may be zero

What it does
------------
Finds divisions by the number of selected elements: `mask.sum()`, `(labels != -100).sum()`, `loss_mask.sum()`,
`bincount`, a node's degree.

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

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named. Targets that are ignored are reported everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from whynan.lint.division import divisions
from whynan.lint.file import File
from whynan.lint.masks import history
from whynan.lint.parts import bare, short
from whynan.lint.rule import Hit
from whynan.remedy.form import Form

CODE = "WN306"
NAME = "mean-over-mask"
CAUSES = ("empty-count", "division-by-zero")
REMEDIES = ("guard-empty", "clamp", "drop-bad-batch")
IGNORED = re.compile(r"ignore|-100\b")


def check(file: File) -> Iterator[Hit]:
    for d in divisions(file):
        if d.shape == "count":
            message = f"0 / 0 where nothing is counted: {short(file, d.below.node)} can be 0 ({d.why})."
            yield Hit(d.form.node, message, doubtful=not (file.program or _of_ignored(file, d.below)))


def _of_ignored(file: File, below: Form) -> bool:
    """(labels != ignore_index).sum(): a batch whose targets are all ignored is to be expected by any loss."""
    counted = bare(file, below)
    return bool(counted.args) and IGNORED.search(history(file, counted.args[0].node, callers=False)) is not None
