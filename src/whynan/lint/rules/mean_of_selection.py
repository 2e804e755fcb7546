"""Mean over a selection that may be empty

What it does
------------
Finds `x[mask].mean()` and `torch.mean(x[mask])`, also var, std and median, where the index is a condition or a
mask.

Why
---
The mean of nothing is NaN. Batches without a positive example, without a foreground pixel or without a valid label
come sooner or later.

Bad
---
    import torch

    def positive_loss(loss, labels):
        return loss[labels > 0].mean()

Good
----
    import torch

    def positive_loss(loss, labels):
        positive = labels > 0
        return (loss * positive).sum() / positive.sum().clamp(min=1)

When it is safe
---------------
Where a test of the mask stands before (`if mask.any():`); the rule looks for one. It is also silent about masks of
steps, tokens and chance (attention masks, masks made from lengths, random masks), which keep an entry.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import prepares
from whynan.lint.guarded import guarded
from whynan.lint.masks import history, never_empty, unexplained
from whynan.lint.meaning import behind
from whynan.lint.parts import ARRAYS, short
from whynan.lint.rule import Hit
from whynan.lint.values import selects
from whynan.remedy import flow
from whynan.remedy.form import form

CODE = "WN510"
NAME = "mean-of-selection"
CAUSES = ("empty-reduction",)
REMEDIES = ("guard-empty", "drop-bad-batch")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("mean", "std", "var", "median"):
        if f.lib not in ARRAYS or not f.args or flow.last_name(getattr(f.node, "func", f.node)) == "nanmean":
            continue
        inner = behind(file, f.args[0])
        while inner.op in ("float", "detach", "abs", "square", "pow", "log", "exp", "neg") and inner.args:
            inner = behind(file, inner.args[0])
        if not isinstance(inner.node, ast.Subscript) or not selects(file, inner.node.slice):
            continue
        dim, index = f.kw.get("dim") or f.kw.get("axis") or f.arg(1), inner.node.slice
        along = dim is not None and dim.number != 0  # a dimension of what is selected, not the selection
        settled = isinstance(index, ast.Attribute) or "pad" in history(file, index)
        settled = settled or never_empty(file, index) or unexplained(file, index)
        if not (along or settled or prepares(file, f.node) or _one_of(file, index) or guarded(file, f.node, index)):
            yield Hit(f.node, f"NaN where {short(file, index)} selects nothing.")


def _one_of(file: File, index: ast.expr) -> bool:
    """labels == c, for c among the labels that there are: `for c in labels.unique()`."""
    test = behind(file, form(file, index)).node
    names = [n for n in ast.walk(test) if isinstance(n, ast.Name)] if isinstance(test, ast.Compare) else []
    loops = [s for n in names for s, _ in flow.bindings(file, file.scope(n), n.id) if isinstance(s, ast.For)]
    return any(
        "unique" in file.segment(node)
        for loop in loops
        for node in (loop.iter, behind(file, form(file, loop.iter)).node)
    )
