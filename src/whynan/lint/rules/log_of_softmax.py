"""Logarithm of a softmax

What it does
------------
Finds `log(softmax(x))`, also through a variable or a selection in between.

Why
---
softmax underflows to exactly 0 when logits lie more than 104 apart in float32 (17 in float16); its logarithm is
-inf and the loss or its gradient NaN. Between 88 and 104 the value is finite and the gradient is not.

Bad
---
    import torch

    def loss(logits, target):
        p = torch.softmax(logits, dim=-1)
        return -(target * torch.log(p)).sum(-1).mean()

Good
----
    import torch
    import torch.nn.functional as F

    def loss(logits, target):
        return -(target * F.log_softmax(logits, dim=-1)).sum(-1).mean()

When it is safe
---------------
Where an eps or a clamp keeps the probability away from 0 (1e-8 does in float32 and bfloat16, not in float16). The
fix writes `log_softmax`, which is also more accurate.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS, TENSORS
from whynan.lint.rule import Hit
from whynan.remedy.form import Form

CODE = "WN102"
NAME = "log-of-softmax"
CAUSES = ("log-of-underflow", "log-of-zero")
REMEDIES = ("stable-formulation", "clamp", "add-eps")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("log", "log2", "log10"):
        if f.lib not in ARRAYS or not f.args:
            continue
        inner = through(file, f.args[0])
        if inner.op != "softmax" or inner.lib not in ARRAYS or guarded(file, f.node) or _draws(file, f):
            continue
        explicit = inner.arg(1, "dim") is not None
        fix = ("log_of_softmax",) if f.op == "log" and explicit and inner.lib in TENSORS else ()
        yield Hit(f.node, "A softmax underflows to 0 and its logarithm to -inf; log_softmax does not.", fix)


def _draws(file: File, f: Form) -> bool:
    """In a function that draws tokens: -inf is a token that is not drawn."""
    function = file.function(f.node)
    return function is not None and "sampl" in function.name.lower() and _infers(function)


def _infers(function: ast.AST) -> bool:
    return not any("loss" in ast.unparse(n).lower() for n in ast.walk(function) if isinstance(n, ast.Name))
