"""log(1 + x) instead of log1p

What it does
------------
Finds `log(1 + x)` and `log(x + 1)` of arrays. A preview rule: nothing becomes non-finite.

Why
---
For small x the sum rounds to 1 and the logarithm to 0: at x = 1e-8 in float32 everything is lost, and the gradient
is that of a constant.

Bad
---
    import torch

    def compress(power):
        return torch.log(1 + power)

Good
----
    import torch

    def compress(power):
        return torch.log1p(power)

When it is safe
---------------
Where x is a count, or never much smaller than 1. The fix writes `log1p`.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.parts import ARRAYS, exponent_of
from whynan.lint.rule import Hit

CODE = "WN106"
NAME = "log-of-one-plus"
CAUSES = ("other",)
REMEDIES = ("stable-formulation",)
PREVIEW = True


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("log"):
        if f.lib not in ARRAYS or not f.args:
            continue
        inner = f.args[0]
        if inner.op == "add" and len(inner.args) == 2 and 1 in (inner.args[0].number, inner.args[1].number):
            x = inner.args[1] if inner.args[0].number == 1 else inner.args[0]
            if x.number is None and exponent_of(file, x) is None:
                yield Hit(f.node, "log(1 + x) loses small x to rounding; log1p does not.", ("log_of_one_plus",))
