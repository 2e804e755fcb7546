"""Softmax written by hand

What it does
------------
Finds `exp(z) / exp(z).sum(...)` where z is not shifted by its maximum.

Why
---
exp overflows at 88.7 in float32 and inf / inf is NaN; below -104 every exp is 0 and 0 / 0 is NaN. The library's
softmax subtracts the maximum first.

Bad
---
    import torch

    def attention(scores):
        weights = torch.exp(scores)
        return weights / weights.sum(dim=-1, keepdim=True)

Good
----
    import torch

    def attention(scores):
        return torch.softmax(scores, dim=-1)

When it is safe
---------------
Where the maximum was subtracted, or the argument is bounded. The fix writes `softmax`.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import created
from whynan.lint.guarded import guarded
from whynan.lint.meaning import behind, through
from whynan.lint.parts import bounded, exponent_of, short
from whynan.lint.rule import Hit
from whynan.remedy.form import Form, same

CODE = "WN403"
NAME = "softmax-by-hand"
CAUSES = ("exp-overflow", "division-by-zero")
REMEDIES = ("stable-formulation", "clamp")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("div"):
        if len(f.args) != 2:
            continue
        z, total = _exponent(file, f.args[0]), through(file, f.args[1])
        if z is None or total.op != "sum" or not total.args:
            continue
        w = _exponent(file, total.args[0])
        if w is None or not same(file, z, w) or bounded(file, z) or created(file, z) or guarded(file, f.node):
            continue
        if _decays(file, z):
            continue
        message = f"Softmax by hand: exp of {short(file, z.node)} overflows at 88.7, and all of it is 0 below -104."
        yield Hit(f.node, message, ("softmax_by_hand",))


def _exponent(file: File, f: Form) -> Form | None:
    """z of exp(z), or of exp(z) * mask."""
    inner = behind(file, f)
    if inner.op == "mul" and len(inner.args) == 2:
        found = [exponent_of(file, a) for a in inner.args]
        return found[0] if found[0] is not None else found[1]
    return exponent_of(file, f)


def _decays(file: File, z: Form) -> bool:
    """-rate * steps, with steps counted from 0: weights that fall from 1."""
    inner = through(file, z)
    if inner.op == "neg":
        inner = through(file, inner.args[0])
    elif not (inner.op == "mul" and any(a.op == "neg" for a in inner.args)):
        return False
    return inner.op == "mul" and any(created(file, a) for a in inner.args if a.number is None)
