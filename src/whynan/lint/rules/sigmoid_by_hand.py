"""Sigmoid written by hand

What it does
------------
Finds `1 / (1 + exp(-z))` and `exp(z) / (1 + exp(z))` of tensors, where gradients flow.

Why
---
For z below -88.7 the first has value 0, and a gradient of inf * 0 = NaN; the second is inf / inf for z above 88.7.

Bad
---
    import torch

    def gate_loss(z):
        return 1 / (1 + torch.exp(-z))

Good
----
    import torch

    def gate_loss(z):
        return torch.sigmoid(z)

When it is safe
---------------
Where z is bounded, or nothing is differentiated. The fix writes `sigmoid`.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.meaning import behind, through
from whynan.lint.parts import TENSORS, bounded, exponent_of
from whynan.lint.rule import Hit
from whynan.remedy.form import Form, same

CODE = "WN406"
NAME = "sigmoid-by-hand"
CAUSES = ("exp-overflow",)
REMEDIES = ("stable-formulation", "clamp")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("div"):
        if len(f.args) != 2:
            continue
        below = through(file, f.args[1])
        if below.op != "add" or len(below.args) != 2 or 1 not in (below.args[0].number, below.args[1].number):
            continue
        w = exponent_of(file, below.args[1] if below.args[0].number == 1 else below.args[0])
        if w is None or bounded(file, w) or not _tensor_exp(file, below):
            continue
        z = exponent_of(file, f.args[0])
        one = f.args[0].number == 1 and not without_gradient(file, f.node)
        if (one or (z is not None and same(file, z, w))) and not guarded(file, f.node, w.node):
            yield Hit(f.node, "Sigmoid by hand: value or gradient is NaN where exp overflows.", ("sigmoid_by_hand",))


def _tensor_exp(file: File, below: Form) -> bool:
    return any(behind(file, a).op == "exp" and behind(file, a).lib in TENSORS for a in below.args)
