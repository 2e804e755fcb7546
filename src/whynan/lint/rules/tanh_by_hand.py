"""tanh written by hand

What it does
------------
Finds `(exp(x) - exp(-x)) / (exp(x) + exp(-x))`.

Why
---
Beyond 88.7 it is inf / inf = NaN where tanh is 1.

Bad
---
    import torch

    def squash(x):
        return (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x))

Good
----
    import torch

    def squash(x):
        return torch.tanh(x)

When it is safe
---------------
Where x is bounded. The fix writes `tanh`.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.meaning import through
from whynan.lint.parts import exponent_of
from whynan.lint.rule import Hit
from whynan.lint.values import range_of
from whynan.remedy.form import same

CODE = "WN407"
NAME = "tanh-by-hand"
CAUSES = ("exp-overflow",)
REMEDIES = ("stable-formulation", "clamp")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("div"):
        if len(f.args) != 2:
            continue
        top, below = (through(file, a) for a in f.args)
        if (top.op, below.op) != ("sub", "add"):
            continue
        parts = [exponent_of(file, a) for a in (*top.args, *below.args)]
        if len(parts) == 4 and all(p is not None for p in parts):
            a, b, c = parts[0], parts[1], parts[2]
            opposite = b is not None and b.op == "neg" and a is not None and same(file, b.args[0], a)
            if opposite and a is not None and c is not None and same(file, a, c) and range_of(file, a).hi > 80:
                yield Hit(f.node, "tanh by hand: inf / inf where exp overflows.", ("tanh_by_hand",))
