"""1 - sigmoid(x) instead of sigmoid(-x)

What it does
------------
Finds `1 - sigmoid(x)`. A preview rule: by itself the value is finite; its logarithm is the business of WN103.

Why
---
For x above 16.6 the sigmoid rounds to 1 in float32 and the difference to 0, where sigmoid(-x) is 6e-8: whatever
divides by it, or takes its logarithm, is infinite.

Bad
---
    import torch

    def survival(x):
        return 1 - torch.sigmoid(x)

Good
----
    import torch

    def survival(x):
        return torch.sigmoid(-x)

When it is safe
---------------
Where it is a gate that something is multiplied by.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.meaning import through
from whynan.lint.parts import TENSORS
from whynan.lint.rule import Hit

CODE = "WN410"
NAME = "one-minus-sigmoid"
CAUSES = ("log-of-underflow",)
REMEDIES = ("stable-formulation",)
PREVIEW = True


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("sub"):
        if len(f.args) == 2 and f.args[0].number == 1:
            inner = through(file, f.args[1])
            if inner.op == "sigmoid" and inner.lib in TENSORS:
                yield Hit(f.node, "1 - sigmoid(x) rounds to 0 above 16.6 (float32); sigmoid(-x) does not.")
