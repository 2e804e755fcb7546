"""NLL loss of probabilities

What it does
------------
Finds `F.nll_loss(softmax(x), y)` and `nn.NLLLoss()` on a softmax.

Why
---
nll_loss takes log-probabilities and only picks and averages. Of probabilities it is -p: bounded, without a
logarithm, and with a gradient that vanishes where the prediction is wrong.

Bad
---
    import torch
    import torch.nn.functional as F

    def loss(logits, y):
        return F.nll_loss(torch.softmax(logits, dim=-1), y)

Good
----
    import torch.nn.functional as F

    def loss(logits, y):
        return F.nll_loss(F.log_softmax(logits, dim=-1), y)

When it is safe
---------------
Never meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.losses import losses_of
from whynan.lint.rule import Hit

CODE = "WN506"
NAME = "nll-of-probabilities"
CAUSES = ("other",)
REMEDIES = ("stable-formulation", "other")


def check(file: File) -> Iterator[Hit]:
    for f in losses_of(file, "nll_loss", "softmax", "sigmoid"):
        yield Hit(f.node, "nll_loss takes log-probabilities; of probabilities it has no logarithm.")
