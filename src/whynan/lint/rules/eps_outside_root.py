"""An eps added outside the root

What it does
------------
Finds `sqrt(x) + eps` where x is a variance, a sum of squares or something else that reaches 0, and gradients flow.

Why
---
The eps keeps a division finite, but the derivative of the root at 0 is infinite all the same: backward gives NaN in
the very case that the eps was written for.

Bad
---
    import torch

    def normalize_loss(x):
        var = x.var(dim=-1, keepdim=True)
        return (x - x.mean(dim=-1, keepdim=True)) / (torch.sqrt(var) + 1e-6)

Good
----
    import torch

    def normalize_loss(x):
        var = x.var(dim=-1, keepdim=True)
        return (x - x.mean(dim=-1, keepdim=True)) / torch.sqrt(var + 1e-6)

When it is safe
---------------
Where nothing is differentiated, for example in the step of an optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.parts import TENSORS, roots, short, singular, sum_of_squares, with_eps
from whynan.lint.rule import Hit
from whynan.lint.tensors import tensorial
from whynan.lint.values import range_of
from whynan.lint.vanishing import may_vanish
from whynan.remedy.form import Form

CODE = "WN204"
NAME = "eps-outside-root"
CAUSES = ("singular-gradient", "norm-at-zero")
REMEDIES = ("add-eps",)


def check(file: File) -> Iterator[Hit]:
    for f, arg in roots(file):
        if f.lib not in TENSORS and f.op != "pow" or f.lib == "numpy":
            continue
        outside = with_eps(file, f.node)
        if outside is None or without_gradient(file, f.node) or (f.lib == "python" and not tensorial(file, arg)):
            continue
        r = range_of(file, arg)
        reaches = (singular(file, arg) and not r.count) or (_vector(file, arg) and not r.positive)
        if reaches and not guarded(file, f.node, arg.node):
            yield Hit(
                outside,
                f"The eps does not reach the root: its derivative is infinite where {short(file, arg.node)} is 0.",
            )


def _vector(file: File, arg: Form) -> bool:
    """A sum of squares of something that may be all zeros."""
    x = sum_of_squares(file, arg)
    return x is not None and may_vanish(file, x)
