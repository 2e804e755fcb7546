"""Variance as a difference of squares under a root or logarithm

What it does
------------
Finds the root or logarithm of `mean(x ** 2) - mean(x) ** 2` without a clamp in between.

Why
---
The two numbers are nearly equal where the mean is large against the spread; their difference keeps no correct digit
and is as often below 0 as above. Its root is NaN.

Bad
---
    import torch

    def spread(x):
        mean = x.mean(dim=0)
        return torch.sqrt((x ** 2).mean(dim=0) - mean ** 2)

Good
----
    import torch

    def spread(x):
        return x.std(dim=0, correction=0)

When it is safe
---------------
Where a clamp at 0 (with an eps, if gradients flow) stands between the difference and the root.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import behind, through
from whynan.lint.parts import short, without_eps
from whynan.lint.rule import Hit
from whynan.lint.tensors import tensorial
from whynan.remedy.form import Form
from whynan.remedy.kinds import squared

CODE = "WN205"
NAME = "variance-by-difference"
CAUSES = ("rounding-out-of-domain", "domain-error")
REMEDIES = ("clamp", "stable-formulation", "float64")

AVERAGE = re.compile(r"(^|[._])(mean|avg|mu|m1|ex|first)\w*$", re.IGNORECASE)
SQUARES = re.compile(r"(sq|squared?s?|second|m2|ex2|x2|sqr)(_?(mean|avg|sum))?\d*$", re.IGNORECASE)


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("sqrt", "rsqrt", "log", "pow"):
        if f.op == "pow" and (len(f.args) < 2 or abs(f.args[1].number or 0) != 0.5) or not f.args or f.lib == "math":
            continue
        if f.lib == "python" and not tensorial(file, f.args[0]):
            continue  # a Python number becomes complex, not NaN
        inner = through(file, f.args[0])
        inner = without_eps(file, inner)
        difference = inner.op == "sub" and len(inner.args) == 2 and _difference(file, *inner.args)
        if difference and not guarded(file, f.node, f.args[0].node):
            text = short(file, inner.node)
            yield Hit(f.node, f"{text} is below 0 by rounding where the mean is large against the spread.")


def _difference(file: File, left: Form, right: Form) -> bool:
    mean = squared(file, behind(file, right))
    if mean is None:
        return False
    mean, left = through(file, mean), through(file, left)
    averaged = mean.op in ("mean", "div") or AVERAGE.search(str(mean.value or "")) is not None
    return averaged and (
        (left.op in ("mean", "sum", "div") and bool(left.args) and _squares(file, left.args[0]))
        or SQUARES.search(str(left.value or "")) is not None
    )


def _squares(file: File, f: Form) -> bool:
    inner = through(file, f)
    if inner.op == "sum" and inner.args:
        inner = through(file, inner.args[0])
    return squared(file, inner) is not None or SQUARES.search(str(inner.value or "")) is not None
