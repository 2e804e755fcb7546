"""KL divergence given probabilities

What it does
------------
Finds `F.kl_div(softmax(x), target)` and `nn.KLDivLoss()` on a softmax.

Why
---
The first argument has to be log-probabilities. With probabilities the value is not a divergence, can be negative,
and its minimum is nowhere useful.

Bad
---
    import torch
    import torch.nn.functional as F

    def loss(student, teacher):
        return F.kl_div(torch.softmax(student, dim=-1), torch.softmax(teacher, dim=-1), reduction="batchmean")

Good
----
    import torch
    import torch.nn.functional as F

    def loss(student, teacher):
        p = torch.softmax(teacher, dim=-1).detach()
        return F.kl_div(F.log_softmax(student, dim=-1), p, reduction="batchmean")

When it is safe
---------------
Never meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.losses import losses_of
from whynan.lint.rule import Hit

CODE = "WN507"
NAME = "kl-div-of-probabilities"
CAUSES = ("other",)
REMEDIES = ("stable-formulation", "other")


def check(file: File) -> Iterator[Hit]:
    for f in losses_of(file, "kl_div", "softmax", "sigmoid"):
        yield Hit(f.node, "kl_div takes log-probabilities first.")
