"""Cross-entropy of a softmax

What it does
------------
Finds `F.cross_entropy(softmax(x), y)`, `nn.CrossEntropyLoss()` on a softmax, and the losses on logits on a sigmoid.

Why
---
These losses take logits and apply the softmax themselves. Applied twice, the probabilities become logits between 0
and 1: the loss cannot fall below about log(1 + (n - 1) / e), gradients are small, and training stalls.

Bad
---
    import torch
    import torch.nn.functional as F

    def loss(logits, y):
        return F.cross_entropy(torch.softmax(logits, dim=-1), y)

Good
----
    import torch.nn.functional as F

    def loss(logits, y):
        return F.cross_entropy(logits, y)

When it is safe
---------------
Never meant, except to soften a loss on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.losses import losses_of
from whynan.lint.rule import Hit

CODE = "WN504"
NAME = "cross-entropy-of-softmax"
CAUSES = ("other",)
REMEDIES = ("stable-formulation", "other")


def check(file: File) -> Iterator[Hit]:
    for f in losses_of(file, "cross_entropy", "softmax"):
        yield Hit(f.node, "cross_entropy takes logits; of a softmax it is a second softmax, and training stalls.")
