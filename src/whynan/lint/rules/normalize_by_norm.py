"""Division by a norm that may be zero

What it does
------------
Finds divisions by `x.norm(...)`, `torch.linalg.norm`, `vector_norm` without an eps or clamp.

Why
---
The norm of a zero vector is 0, and x / x.norm() is 0 / 0. Zero vectors are ordinary: padding, zero initialisation,
dead units, equal pairs.

Bad
---
    import torch

    def unit(x):
        return x / x.norm(dim=-1, keepdim=True)

Good
----
    import torch.nn.functional as F

    def unit(x):
        return F.normalize(x, dim=-1)

When it is safe
---------------
Where the vectors cannot be zero. The fix writes `F.normalize`, which divides by at least 1e-12 (float32).

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named. Functions that normalize their parameter are reported everywhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from whynan.lint.division import divisions
from whynan.lint.file import File
from whynan.lint.meaning import through
from whynan.lint.parts import short
from whynan.lint.rule import Hit
from whynan.remedy import flow
from whynan.remedy.form import Form

CODE = "WN305"
NAME = "normalize-by-norm"
CAUSES = ("division-by-zero", "norm-at-zero")
REMEDIES = ("stable-formulation", "clamp", "add-eps")
NORMALIZES = re.compile(r"normali[sz]|(^|_)(l2|norm|unit)(_|$)", re.IGNORECASE)


def check(file: File) -> Iterator[Hit]:
    for d in divisions(file):
        if d.shape == "norm":
            message = f"0 / 0 for a zero vector: {short(file, d.below.node)} is 0 there."
            yield Hit(d.form.node, message, ("normalize_by_hand",), doubtful=not (file.program or _any(file, d.form)))


def _any(file: File, f: Form) -> bool:
    """Whether any vector may come: in a function that normalizes its parameter; or x - mean, or what a relu gave."""
    top = through(file, f.args[0])
    function = file.function(f.node)
    if function is not None and NORMALIZES.search(function.name) and isinstance(top.node, ast.Name):
        return top.node.id in flow.arguments(function)
    about_mean = top.op == "sub" and len(top.args) == 2 and through(file, top.args[1]).op == "mean"
    return about_mean or top.op == "relu"
