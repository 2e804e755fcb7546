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

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import prepares, without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.masks import history, may_be_empty
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
        if along or not may_be_empty(file, index) or prepares(file, f.node) or without_gradient(file, f.node):
            continue
        if not _one_of(file, index) and not guarded(file, f.node, index):
            yield Hit(f.node, f"NaN where {short(file, index)} selects nothing.", doubtful=not file.program)


def _one_of(file: File, index: ast.expr) -> bool:
    """labels == c, for c among the labels that there are: `for c in labels.unique()`, or up to the largest."""
    test = behind(file, form(file, index)).node
    names = {n.id for n in ast.walk(test) if isinstance(n, ast.Name)} if isinstance(test, ast.Compare) else set()
    among: list[ast.expr] = []
    for outer in file.ancestors(index):
        generators = [outer] if isinstance(outer, ast.For) else getattr(outer, "generators", [])
        among += [g.iter for g in generators if names & {n.id for n in ast.walk(g.target) if isinstance(n, ast.Name)}]
    text = " ".join(history(file, iterated, callers=False) for iterated in among)
    return any(word in text for word in ("unique", "set(", "max("))
