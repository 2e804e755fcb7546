"""exp(x) - 1 instead of expm1

What it does
------------
Finds `exp(x) - 1` of arrays. A preview rule: nothing becomes non-finite.

Why
---
For small x, exp(x) rounds to 1 and the difference to 0: at x = 1e-8 in float32 nothing is left.

Bad
---
    import torch

    def growth(rate):
        return torch.exp(rate) - 1

Good
----
    import torch

    def growth(rate):
        return torch.expm1(rate)

When it is safe
---------------
Where x is never small.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.parts import ARRAYS
from whynan.lint.rule import Hit

CODE = "WN409"
NAME = "exp-minus-one"
CAUSES = ("other",)
REMEDIES = ("stable-formulation",)
PREVIEW = True


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("sub"):
        if len(f.args) == 2 and f.args[1].number == 1 and f.args[0].op == "exp" and f.args[0].lib in ARRAYS:
            yield Hit(f.node, "exp(x) - 1 loses small x to rounding; expm1 does not.")
