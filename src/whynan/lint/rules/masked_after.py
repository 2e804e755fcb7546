"""A mask after the op does not protect the gradient

What it does
------------
Finds `log(x).masked_fill(x <= 0, 0)` and `log(x) * (x > 0)`, also with sqrt, reciprocal, acos and others.

Why
---
The op has already been computed where the mask takes the result away: multiplication gives -inf * 0 = NaN at once,
masked_fill and clamp give the right value and a gradient of 0 * inf = NaN.

Bad
---
    import torch

    def log_or_zero_loss(x):
        return torch.log(x).masked_fill(x <= 0, 0.0)

Good
----
    import torch

    def log_or_zero_loss(x):
        return torch.log(x.masked_fill(x <= 0, 1.0))

When it is safe
---------------
Where nothing is differentiated and the mask is a `masked_fill`. Put the mask before the op.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import without_gradient
from whynan.lint.meaning import behind, through
from whynan.lint.parts import TENSORS, short
from whynan.lint.rule import Hit
from whynan.remedy.form import Form, form, same

CODE = "WN513"
NAME = "masked-after-singular"
CAUSES = ("where-trap", "log-of-zero")
REMEDIES = ("safe-where", "clamp")


SINGULAR = ("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "acos", "asin")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("masked_fill", "mul"):
        if f.lib == "numpy" or len(f.args) < 2:
            continue
        pairs = [f.args[:2]] if f.op == "masked_fill" else [f.args[:2], f.args[1::-1]]
        for value, mask in pairs:
            risky, condition = behind(file, value), through(file, mask)
            if risky.op not in SINGULAR or risky.lib not in TENSORS or not risky.args:
                continue
            tested = isinstance(condition.node, ast.Compare) and _tests(file, condition.node, risky.args[0])
            if tested and not without_gradient(file, f.node):
                yield Hit(f.node, f"{short(file, risky.node)} is bad where it is masked, and so is its gradient.")


def _tests(file: File, node: ast.Compare, x: Form) -> bool:
    return any(same(file, form(file, side), x) for side in (node.left, *node.comparators))
