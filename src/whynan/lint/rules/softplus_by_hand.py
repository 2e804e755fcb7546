"""Softplus written by hand

What it does
------------
Finds `log(1 + exp(z))` and `log1p(exp(z))` of arrays.

Why
---
exp overflows at 88.7 in float32, where the result should be z itself; the loss is inf and its gradient inf / inf =
NaN.

Bad
---
    import torch

    def logistic_loss(margin):
        return torch.log(1 + torch.exp(-margin)).mean()

Good
----
    import torch.nn.functional as F

    def logistic_loss(margin):
        return F.softplus(-margin).mean()

When it is safe
---------------
Where z is bounded above, for example -|x|. The fix writes `softplus`.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS, TENSORS, bounded, exponent_of, short
from whynan.lint.rule import Hit

CODE = "WN405"
NAME = "softplus-by-hand"
CAUSES = ("exp-overflow",)
REMEDIES = ("stable-formulation", "clamp")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("log", "log1p"):
        if f.lib not in ARRAYS or not f.args:
            continue
        inner = through(file, f.args[0])
        if f.op == "log":
            if inner.op != "add" or len(inner.args) != 2 or 1 not in (inner.args[0].number, inner.args[1].number):
                continue
            inner = inner.args[1] if inner.args[0].number == 1 else inner.args[0]
        z = exponent_of(file, inner)
        if z is not None and not bounded(file, z) and not guarded(file, f.node, z.node):
            fix = ("log_of_one_plus_exp",) if f.lib in TENSORS else ()
            yield Hit(f.node, f"exp of {short(file, z.node)} overflows at 88.7 (float32) where softplus does not.", fix)
