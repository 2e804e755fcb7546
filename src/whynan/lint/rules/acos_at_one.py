"""acos or asin of something that reaches 1

What it does
------------
Finds `acos` and `asin` of a computed cosine (a dot product, a trace, a quotient) without a clamp, and of a value
clamped to [-1, 1] where gradients flow.

Why
---
Rounding takes the cosine of parallel vectors to 1.0000001, and acos of that is NaN. At exactly 1 the value is
finite and the derivative infinite, so a clamp to [-1, 1] cures the value and not the gradient.

Bad
---
    import torch

    def angle(a, b):
        return torch.acos((a * b).sum(dim=-1))

Good
----
    import torch

    def angle(a, b):
        return torch.acos((a * b).sum(dim=-1).clamp(-1 + 1e-6, 1 - 1e-6))

When it is safe
---------------
Where nothing is differentiated, a clamp to [-1, 1] is enough. atan2(sine, cosine) needs none.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS, TENSORS, computed, short
from whynan.lint.rule import Hit
from whynan.lint.values import range_of

CODE = "WN411"
NAME = "acos-at-one"
CAUSES = ("rounding-out-of-domain", "singular-gradient")
REMEDIES = ("clamp", "stable-formulation")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("acos", "asin"):
        if f.lib not in ARRAYS or not f.args or guarded(file, f.node):
            continue
        r, inner = range_of(file, f.args[0]), through(file, f.args[0])
        differentiable = f.lib in TENSORS and not without_gradient(file, f.node)
        text = short(file, f.args[0].node)
        if r.lo >= -1 and r.hi <= 1:
            if differentiable and ((r.hi == 1 and r.top) or (r.lo == -1 and r.bottom)):
                yield Hit(f.node, f"The derivative of {f.op} is infinite where {text} is 1: {r.top or r.bottom}.")
        elif computed(inner) and not (r.positive and r.hi < 1):
            yield Hit(f.node, f"Rounding takes {text} beyond 1, where {f.op} is NaN.")
