"""log(cosh(x))

What it does
------------
Finds `log(cosh(x))` of arrays, the log-cosh loss.

Why
---
cosh overflows at 89.4 in float32, where the result should be |x| - 0.69.

Bad
---
    import torch

    def loss(error):
        return torch.log(torch.cosh(error)).mean()

Good
----
    import math
    import torch
    import torch.nn.functional as F

    def loss(error):
        return (error.abs() + F.softplus(-2 * error.abs()) - math.log(2)).mean()

When it is safe
---------------
Where x is bounded. The fix writes it without cosh.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS
from whynan.lint.rule import Hit
from whynan.lint.values import range_of

CODE = "WN408"
NAME = "log-cosh-by-hand"
CAUSES = ("exp-overflow",)
REMEDIES = ("stable-formulation", "clamp")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("log"):
        if f.lib not in ARRAYS or not f.args:
            continue
        inner = through(file, f.args[0])
        if (
            inner.op == "cosh"
            and inner.lib in ARRAYS
            and range_of(file, inner.arg(0)).hi > 80
            and not guarded(file, f.node)
        ):
            yield Hit(f.node, "cosh overflows at 89.4 (float32) where its logarithm is small.", ("log_of_cosh",))
