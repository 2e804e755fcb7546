"""Relative error of a target that may be zero

What it does
------------
Finds `(prediction - target) / target`, with or without `abs`, where the divisor is by its name a target.

Why
---
Targets of exactly 0 (a day without sales, a missing count) make the mean absolute percentage error inf, or 0 / 0
where the prediction is 0 as well.

Bad
---
    import torch

    def mape(prediction, target):
        return ((prediction - target).abs() / target).mean()

Good
----
    import torch

    def mape(prediction, target):
        return ((prediction - target).abs() / target.abs().clamp(min=1e-2)).mean()

When it is safe
---------------
Where targets are positive by construction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.parts import short
from whynan.lint.rule import Hit
from whynan.lint.tensors import tensorial
from whynan.remedy.form import Form, same

CODE = "WN309"
NAME = "relative-error"
CAUSES = ("division-by-zero",)
REMEDIES = ("add-eps", "clamp")


TARGET = re.compile(r"(^|[._])(\w*_)?(targets?|actual|y|y_true|labels?|truth|gt|reference|trues?)\d*$", re.IGNORECASE)


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("div"):
        if len(f.args) != 2 or not TARGET.search(str(_plain(f.args[1]).value or "")):
            continue
        top = _plain(f.args[0])
        if top.op != "sub" or len(top.args) != 2 or not any(same(file, a, _plain(f.args[1])) for a in top.args):
            continue
        if tensorial(file, f.args[0]) and not guarded(file, f.node, f.args[1].node):
            yield Hit(f.node, f"inf or NaN where {short(file, f.args[1].node)} is 0.")


def _plain(f: Form) -> Form:
    """Without abs."""
    return f.args[0] if f.op == "abs" and f.args else f
