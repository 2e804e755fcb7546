"""Loss on logits given a sigmoid

What it does
------------
Finds `F.binary_cross_entropy_with_logits(torch.sigmoid(x), y)` and `nn.BCEWithLogitsLoss()` on a sigmoid.

Why
---
The loss applies the sigmoid itself. Applied twice, every prediction lies between 0.5 and 0.73: negatives can never
be learned.

Bad
---
    import torch
    import torch.nn.functional as F

    def loss(logits, y):
        return F.binary_cross_entropy_with_logits(torch.sigmoid(logits), y)

Good
----
    import torch.nn.functional as F

    def loss(logits, y):
        return F.binary_cross_entropy_with_logits(logits, y)

When it is safe
---------------
Never meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.losses import losses_of
from whynan.lint.rule import Hit

CODE = "WN505"
NAME = "logits-loss-of-sigmoid"
CAUSES = ("other",)
REMEDIES = ("stable-formulation", "other")


def check(file: File) -> Iterator[Hit]:
    for f in losses_of(file, "binary_cross_entropy_with_logits", "sigmoid", "softmax"):
        yield Hit(f.node, "This loss takes logits; of a sigmoid it is a second sigmoid, and training stalls.")
