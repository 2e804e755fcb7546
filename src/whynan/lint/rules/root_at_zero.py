"""Square root of something that reaches zero

What it does
------------
Finds `sqrt(x)`, `x ** 0.5` of a value that the code shows to reach 0 (a difference from the largest, a difference
that is clamped at 0), where gradients flow.

Why
---
The derivative of the square root at 0 is infinite. The forward value 0 is fine; backward gives inf, or NaN where
the gradient that arrives is 0.

Bad
---
    import torch

    def amplitude_loss(x):
        return torch.sqrt(x.max() - x)

Good
----
    import torch

    def amplitude_loss(x):
        return torch.sqrt(x.max() - x + 1e-8)

When it is safe
---------------
Behind a relu or masked_fill, which set the gradient to 0 together with the value (clamp does so only below its bound).
Where nothing is differentiated: under `no_grad`, for data, in an optimizer's step. The rule is silent where it sees
that.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import created, of_targets, without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import TENSORS, roots, short, singular, sum_of_squares, unpacked, with_eps
from whynan.lint.ranges import SOFT
from whynan.lint.rule import Hit
from whynan.lint.values import range_of
from whynan.remedy.form import Form, form

CODE = "WN201"
NAME = "root-at-zero"
CAUSES = ("singular-gradient", "norm-at-zero")
REMEDIES = ("add-eps", "clamp")
DECOMPOSED = ("eigh", "eigvalsh", "eig", "eigvals", "svd", "svdvals", "symeig")
SPREAD = re.compile(r"var|std|dev|count|num", re.IGNORECASE)  # statistics of data, seldom differentiated


def _spectrum(file: File, f: Form) -> bool:
    """Clamped eigenvalues: those of a matrix of rank n - 1 are 0, but they are seldom differentiated."""
    while f.op in ("clamp", "relu", "abs", "maximum") and f.args:
        f = through(file, f.args[0])
    pair = unpacked(file, f.node)
    return any(form(file, n).op in DECOMPOSED for n in (f.node, pair) if n is not None)


def check(file: File) -> Iterator[Hit]:
    for f, arg in roots(file):
        if f.lib not in TENSORS or without_gradient(file, f.node):
            continue
        inner, why = through(file, arg), singular(file, arg)
        if not why or why in SOFT or SPREAD.search(file.segment(arg.node)):
            continue
        if created(file, inner) or of_targets(file, arg.node) or _spectrum(file, inner):
            continue
        if inner.op == "var" or sum_of_squares(file, arg) is not None or range_of(file, arg).count:
            continue  # rules of their own; counts carry no gradient
        if with_eps(file, f.node) is None and not guarded(file, f.node, arg.node):
            message = f"The derivative of the root of {short(file, arg.node)} is infinite at 0: {why}."
            yield Hit(f.node, message, doubtful=not file.program)
