"""rsqrt, reciprocal or a negative power of something that reaches zero

What it does
------------
Finds `rsqrt(x)`, `reciprocal(x)` and `x ** -p` of a value that the code shows to reach 0: a count, a degree, a
variance, a relu.

Why
---
They are infinite at 0. Nodes without neighbours, constant rows and empty classes are ordinary input.

Bad
---
    import torch

    def whiten(x):
        return (x - x.mean(0)) * torch.rsqrt(x.var(0))

Good
----
    import torch

    def whiten(x):
        return (x - x.mean(0)) * torch.rsqrt(x.var(0) + 1e-5)

When it is safe
---------------
Where infinite entries are replaced afterwards, as graph libraries do with `masked_fill_`; the rule looks for that.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.parts import ARRAYS, short, zero
from whynan.lint.ranges import EMPTY_MASK
from whynan.lint.rule import Hit
from whynan.lint.tensors import tensorial

CODE = "WN207"
NAME = "negative-power-at-zero"
CAUSES = ("division-by-zero", "empty-count")
REMEDIES = ("add-eps", "clamp", "guard-empty")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("rsqrt", "reciprocal", "pow"):
        if not f.args or (f.lib not in ARRAYS and f.op != "pow"):
            continue
        p = f.arg(1, "exponent")
        if f.op == "pow" and (p is None or (p.number or 0) >= 0 or not tensorial(file, f.args[0])):
            continue
        why = zero(file, f.args[0])
        if why and why != EMPTY_MASK and not guarded(file, f.node, f.args[0].node):
            yield Hit(
                f.node, f"This is infinite where {short(file, f.args[0].node)} is 0: {why}.", doubtful=not file.program
            )
