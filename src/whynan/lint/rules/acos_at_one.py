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
from whynan.lint.meaning import constant, through
from whynan.lint.parts import ARRAYS, TENSORS, computed, short
from whynan.lint.rule import Hit
from whynan.lint.values import range_of
from whynan.remedy.form import Form

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
        elif (
            computed(inner)
            and not _sampled(file, f, inner)
            and not (r.positive and r.hi < 1)
            and not _shrunk(file, inner)
        ):
            yield Hit(f.node, f"Rounding takes {text} beyond 1, where {f.op} is NaN.")


def _shrunk(file: File, f: Form) -> bool:
    """0.95 * cos: kept away from 1."""
    factors = [constant(file, a) for a in f.args] if f.op == "mul" else []
    return any(c is not None and abs(c) < 1 for c in factors)


def _sampled(file: File, f: Form, inner: Form) -> bool:
    """acos(1 - 2 * u), which makes angles of draws or of a grid, and the angle of an interpolation."""
    function = file.function(f.node)
    slerp = function is not None and "slerp" in function.name.lower()
    return slerp or (inner.op == "sub" and len(inner.args) == 2 and inner.args[0].number == 1)
