"""NaN gradients overwritten

What it does
------------
Finds `nan_to_num` on gradients: `p.grad = torch.nan_to_num(p.grad)`, `torch.nan_to_num_(p.grad)`,
`p.grad[torch.isnan(p.grad)] = 0`.

Why
---
A NaN in the gradients says that the loss or its derivative is broken for this batch. Set to 0 (and inf to 3e38)
they go into the weights and the state of the optimizer, the cause stays, and no check sees it any more.

Bad
---
    import torch

    def clean(model):
        for p in model.parameters():
            if p.grad is not None:
                p.grad.nan_to_num_(0.0)

Good
----
    import torch

    def finite(model):
        return all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())

When it is safe
---------------
Where skipped steps are counted and reported; skip the whole step rather than a part of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.rule import Hit

CODE = "WN610"
NAME = "cleaned-gradients"
CAUSES = ("singular-gradient",)
REMEDIES = ("other", "drop-bad-batch")
MESSAGE = "NaN gradients are overwritten: what made them stays, and no check sees it any more."


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("nan_to_num"):
        if f.args and _gradient(f.args[0].node):
            yield Hit(f.node, MESSAGE)
    for node in file.all(ast.Assign):
        assert isinstance(node, ast.Assign)
        target = node.targets[0]
        if isinstance(target, ast.Subscript) and _gradient(target.value):
            text = ast.unparse(target.slice)
            if "isnan" in text or "isinf" in text or "isfinite" in text:
                yield Hit(node, MESSAGE)


def _gradient(node: ast.expr) -> bool:
    """x.grad, or x.grad.data."""
    if isinstance(node, ast.Attribute) and node.attr == "data":
        node = node.value
    return isinstance(node, ast.Attribute) and node.attr == "grad"
