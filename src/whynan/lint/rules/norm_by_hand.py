"""Norm written by hand

What it does
------------
Finds `sqrt(sum(x * x))`, `(x ** 2).mean() ** 0.5` and `sqrt(a ** 2 + b ** 2)` without an eps under the root, where
gradients flow.

Why
---
At x = 0 the derivative of the root is infinite and that of the square is 0: backward gives NaN. Zero vectors are
ordinary: padding, equal pairs, zero initialisation, silence. `torch.linalg.vector_norm` has derivative 0 there
(torch 2.13).

Bad
---
    import torch

    def distance_loss(a, b):
        return torch.sqrt(((a - b) ** 2).sum(dim=-1))

Good
----
    import torch

    def distance_loss(a, b):
        return torch.linalg.vector_norm(a - b, dim=-1)

When it is safe
---------------
Where nothing is differentiated, or the vectors cannot be zero. The fix writes `vector_norm` for sums of squares.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import created, of_targets, without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.parts import TENSORS, cuts_gradient, roots, short, sum_of_squares, with_eps
from whynan.lint.rule import Hit
from whynan.lint.tensors import tensorial
from whynan.lint.values import range_of
from whynan.lint.vanishing import apart, may_vanish

CODE = "WN202"
NAME = "norm-by-hand"
CAUSES = ("norm-at-zero", "singular-gradient")
REMEDIES = ("stable-formulation", "add-eps")


def check(file: File) -> Iterator[Hit]:
    for f, arg in roots(file):
        by_operator = f.op == "pow" and f.lib == "python"
        x = sum_of_squares(file, arg) if f.lib in TENSORS or by_operator else None
        if x is None or without_gradient(file, f.node) or with_eps(file, f.node) is not None:
            continue
        if created(file, x) or of_targets(file, x.node) or cuts_gradient(file, x):
            continue
        if not (may_vanish(file, x) or (file.differentiates and (file.program or not apart(file, x)))):
            continue
        if range_of(file, arg).positive or (by_operator and not tensorial(file, arg)):
            continue
        if not guarded(file, f.node, arg.node):
            message = f"The gradient of this norm of {short(file, x.node)} is NaN where it is a zero vector."
            yield Hit(f.node, message, ("norm_by_hand",))
