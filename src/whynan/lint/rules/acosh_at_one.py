"""acosh of something that reaches 1

What it does
------------
Finds `acosh` of a computed value without a clamp, and of a value clamped at 1 where gradients flow.

Why
---
acosh is NaN below 1, which rounding reaches, and its derivative at 1 is infinite: the hyperbolic distance of a
point to itself.

Bad
---
    import torch

    def distance(gap, a, b):
        return torch.acosh(1 + 2 * gap / (a * b))

Good
----
    import torch

    def distance(gap, a, b):
        return torch.acosh((1 + 2 * gap / (a * b)).clamp(min=1 + 1e-6))

When it is safe
---------------
Where a clamp keeps the argument above 1 by 1e-6.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS, TENSORS, computed, is_eps, short
from whynan.lint.rule import Hit
from whynan.lint.values import range_of

CODE = "WN413"
NAME = "acosh-at-one"
CAUSES = ("singular-gradient", "rounding-out-of-domain")
REMEDIES = ("clamp", "add-eps")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("acosh"):
        if f.lib not in ARRAYS or not f.args or guarded(file, f.node):
            continue
        r, inner = range_of(file, f.args[0]), through(file, f.args[0])
        differentiable = f.lib in TENSORS and not without_gradient(file, f.node)
        text = short(file, f.args[0].node)
        if r.lo == 1 and r.bottom and differentiable:
            yield Hit(f.node, f"The derivative of acosh is infinite where {text} is 1: {r.bottom}.")
        elif r.lo < 1 and computed(inner) and not any(is_eps(a) for a in inner.args):
            yield Hit(f.node, f"acosh is NaN where rounding takes {text} below 1, and its derivative at 1 is infinite.")
