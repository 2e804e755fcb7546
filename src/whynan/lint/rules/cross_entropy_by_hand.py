"""Binary cross-entropy written by hand

What it does
------------
Finds `y * log(p) + (1 - y) * log(1 - p)`, in any order, without an eps or a clamp inside the logarithms.

Why
---
For p of exactly 0 or 1 one of the logarithms is -inf, and 0 * -inf is NaN even where the prediction is right. The
library's loss on logits is finite everywhere.

Bad
---
    import torch

    def loss(p, y):
        return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()

Good
----
    import torch.nn.functional as F

    def loss(logits, y):
        return F.binary_cross_entropy_with_logits(logits, y)

When it is safe
---------------
Where p is clamped before. The fix writes `F.binary_cross_entropy`, which limits the logarithms to -100, or the form
with logits where they are visible.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import behind
from whynan.lint.parts import ARRAYS
from whynan.lint.rule import Hit
from whynan.lint.values import range_of
from whynan.remedy.form import Form, same

CODE = "WN501"
NAME = "binary-cross-entropy-by-hand"
CAUSES = ("log-of-zero", "log-of-underflow")
REMEDIES = ("stable-formulation", "clamp", "add-eps")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("add", "sub"):
        if len(f.args) != 2:
            continue
        first, second = (_weighted_log(file, a) for a in f.args)
        if first is None or second is None:
            continue
        (weight, p), (other, q) = first, second
        if not (_complement(file, p, q) and _complement(file, weight, other)) or guarded(file, f.node):
            continue
        if not any(_open(file, x) for x in (p, q)):
            continue
        yield Hit(
            f.node,
            "log(p) and log(1 - p) are -inf at 0 and 1, and 0 * -inf is NaN.",
            ("bce_by_hand",),
            doubtful=not file.program,
        )


def _weighted_log(file: File, f: Form) -> tuple[Form, Form] | None:
    """(weight, argument) of weight * log(argument), with or without a minus in front."""
    f = behind(file, f)
    if f.op == "neg":
        f = behind(file, f.args[0])
    if f.op != "mul" or len(f.args) != 2:
        return None
    for weight, log in (f.args, f.args[::-1]):
        if weight.op == "neg":
            weight = weight.args[0]
        log = behind(file, log)
        if log.op == "log" and log.lib in ARRAYS and log.args:
            return weight, log.args[0]
    return None


def _complement(file: File, a: Form, b: Form) -> bool:
    """Whether one is 1 minus the other."""
    a, b = behind(file, a), behind(file, b)
    return any(
        y.op == "sub" and len(y.args) == 2 and y.args[0].number == 1 and same(file, behind(file, y.args[1]), x)
        for x, y in ((a, b), (b, a))
    )


def _open(file: File, p: Form) -> bool:
    """Whether nothing keeps p away from 0, and no other rule speaks of it."""
    inner = behind(file, p)
    if inner.op == "sub" and len(inner.args) == 2:
        inner = behind(file, inner.args[1])
    r = range_of(file, inner)
    known = inner.op in ("sigmoid", "softmax", "clamp", "maximum", "add")
    return not known and not (r.lo > 0 and r.hi < 1)
