"""Binary cross-entropy of a sigmoid

What it does
------------
Finds `F.binary_cross_entropy(torch.sigmoid(x), y)` and `nn.BCELoss()` on a sigmoid.

Why
---
The loss itself is finite, because its logarithms are limited to -100. But above a logit of 16.6 the sigmoid is
exactly 1 and its derivative exactly 0: a confidently wrong prediction gets no gradient any more, where the loss on
logits gives 1. In float16 the same happens at 8.3.

Bad
---
    import torch
    import torch.nn.functional as F

    def loss(logits, y):
        return F.binary_cross_entropy(torch.sigmoid(logits), y)

Good
----
    import torch.nn.functional as F

    def loss(logits, y):
        return F.binary_cross_entropy_with_logits(logits, y)

When it is safe
---------------
Where logits stay small. The fix writes the loss on logits.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import switched_off
from whynan.lint.losses import losses_of
from whynan.lint.rule import Hit

CODE = "WN503"
NAME = "bce-of-sigmoid"
CAUSES = ("log-of-underflow", "singular-gradient")
REMEDIES = ("stable-formulation",)


def check(file: File) -> Iterator[Hit]:
    for f in losses_of(file, "binary_cross_entropy", "sigmoid"):
        if switched_off(file, f.node):
            continue
        yield Hit(
            f.node,
            "Where the sigmoid is exactly 0 or 1, this loss has no gradient; the loss on logits has.",
            ("bce_of_sigmoid",),
        )
