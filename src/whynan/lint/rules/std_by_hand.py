"""Standard deviation as the root of a variance

What it does
------------
Finds `sqrt(x.var(...))` without an eps under the root, where gradients flow.

Why
---
For constant x the variance is 0 and its gradient 0, and the derivative of the root infinite: NaN. `x.std()` has
gradient 0 there (torch 2.13). Constant rows are ordinary: padding, dead units, a batch of equal samples.

Bad
---
    import torch

    def spread_loss(x):
        return torch.sqrt(x.var(dim=0)).mean()

Good
----
    import torch

    def spread_loss(x):
        return x.std(dim=0).mean()

When it is safe
---------------
Where nothing is differentiated. The fix writes `std`.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import TENSORS, roots, with_eps
from whynan.lint.rule import Hit

CODE = "WN203"
NAME = "std-by-hand"
CAUSES = ("singular-gradient", "norm-at-zero")
REMEDIES = ("stable-formulation", "add-eps")


def check(file: File) -> Iterator[Hit]:
    for f, arg in roots(file):
        inner = through(file, arg)
        if inner.op != "var" or inner.lib not in TENSORS or without_gradient(file, f.node):
            continue
        if with_eps(file, f.node) is None and not guarded(file, f.node, arg.node):
            yield Hit(
                f.node, "The gradient of the root of a variance is NaN where all values are equal.", ("std_by_hand",)
            )
