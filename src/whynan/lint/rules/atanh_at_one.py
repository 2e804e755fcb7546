"""atanh of something that reaches 1

What it does
------------
Finds `atanh` (also `erfinv`) of a tanh, of a value clamped to [-1, 1], or of a computed value without a clamp.

Why
---
atanh(1) is inf. In float32 tanh is exactly 1 above 9.01, so inverting a saturated action of a policy gives inf.

Bad
---
    import torch

    def log_prob(pi, action_before_tanh):
        action = torch.tanh(action_before_tanh)
        return pi.log_prob(torch.atanh(action))

Good
----
    import torch

    def log_prob(pi, action_before_tanh):
        return pi.log_prob(action_before_tanh)

When it is safe
---------------
Where a clamp keeps the argument inside by 1e-6, or the value before the tanh is kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS, short
from whynan.lint.rule import Hit
from whynan.lint.values import range_of

CODE = "WN412"
NAME = "atanh-at-one"
CAUSES = ("log-of-zero", "domain-error")
REMEDIES = ("clamp", "stable-formulation")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("atanh", "erfinv"):
        if f.lib not in ARRAYS or not f.args or guarded(file, f.node):
            continue
        r, text = range_of(file, f.args[0]), short(file, f.args[0].node)
        inner = through(file, f.args[0])
        if (r.hi == 1 and r.top) or (r.lo == -1 and r.bottom):
            yield Hit(f.node, f"{f.op} is infinite where {text} is 1: {r.top or r.bottom}.")
        elif inner.op in ("matmul", "sum", "einsum") and r.hi > 1:
            yield Hit(f.node, f"{f.op} is infinite or NaN where {text} reaches 1, by rounding too.")
