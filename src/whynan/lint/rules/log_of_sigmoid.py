"""Logarithm of a sigmoid

What it does
------------
Finds `log(sigmoid(x))`, `log(1 - sigmoid(x))` and `log1p(-sigmoid(x))`, also through variables.

Why
---
In float32, sigmoid(x) is exactly 1 above 16.6 and 0 below -88. log(1 - sigmoid(x)) is therefore -inf for a logit of
17, which a discriminator or a confident classifier reaches in practice.

Bad
---
    import torch

    def discriminator_loss(real, fake):
        p_real, p_fake = torch.sigmoid(real), torch.sigmoid(fake)
        return -(torch.log(p_real) + torch.log(1 - p_fake)).mean()

Good
----
    import torch.nn.functional as F

    def discriminator_loss(real, fake):
        return -(F.logsigmoid(real) + F.logsigmoid(-fake)).mean()

When it is safe
---------------
Where an eps or a clamp stands inside the logarithm. The fix writes `logsigmoid`.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS
from whynan.lint.rule import Hit
from whynan.remedy.form import Form

CODE = "WN103"
NAME = "log-of-sigmoid"
CAUSES = ("log-of-underflow", "log-of-zero")
REMEDIES = ("stable-formulation", "clamp", "add-eps")


REWRITES = ("log_of_sigmoid", "log_of_one_minus_sigmoid")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("log", "log2", "log10", "log1p"):
        if f.lib not in ARRAYS or not f.args:
            continue
        kind = _kind(file, f)
        if kind and not guarded(file, f.node):
            fix = REWRITES if f.op in ("log", "log1p") else ()
            yield Hit(f.node, f"{kind} reaches 0 in float32 and its logarithm -inf; logsigmoid does not.", fix)


def _kind(file: File, f: Form) -> str:
    inner = through(file, f.args[0])
    if f.op == "log1p":
        return "1 - sigmoid" if inner.op == "neg" and _sigmoid(file, inner.args[0]) else ""
    if inner.op == "sub" and len(inner.args) == 2 and inner.args[0].number == 1 and _sigmoid(file, inner.args[1]):
        return "1 - sigmoid"
    return "sigmoid" if inner.op == "sigmoid" and inner.lib in ARRAYS else ""


def _sigmoid(file: File, f: Form) -> bool:
    inner = through(file, f)
    return inner.op == "sigmoid" and inner.lib in ARRAYS
