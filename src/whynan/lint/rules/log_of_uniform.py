"""Logarithm of uniform random numbers

What it does
------------
Finds `log(torch.rand(...))`, `log(u.uniform_())` and the same inside Gumbel noise and Box-Muller by hand.

Why
---
torch.rand draws from [0, 1): a float32 zero comes once in 2^24 = 16.8 million numbers: soon, for noise of the size
of a vocabulary at every step. -log(-log(0)) is -inf and -log(0) inf.

Bad
---
    import torch

    def gumbel(logits):
        u = torch.rand_like(logits)
        return logits - torch.log(-torch.log(u))

Good
----
    import torch

    def gumbel(logits):
        return logits - torch.empty_like(logits).exponential_().log()

When it is safe
---------------
Where the draw is bounded away from 0 (`u.clamp_min(1e-20)`), or the numbers come from numpy (53 bits). For Gumbel
noise `exponential_()` draws numbers above 0, and `F.gumbel_softmax` uses it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import switched_off
from whynan.lint.guarded import guarded
from whynan.lint.loops import text_around
from whynan.lint.meaning import through
from whynan.lint.parts import TENSORS, zero
from whynan.lint.rule import Hit
from whynan.remedy import flow

CODE = "WN104"
NAME = "log-of-uniform"
CAUSES = ("log-of-zero",)
REMEDIES = ("clamp", "add-eps", "stable-formulation")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("log", "log2", "log10"):
        if f.lib not in TENSORS or not f.args:
            continue
        inner = through(file, f.args[0])
        if inner.op in ("rand", "rand_like", "uniform"):
            if any(w in text_around(file, f.node) for w in ("topk(", "argmax(", "sort(")):
                continue  # only the order counts, and -inf has its place in it
            if _compared(file, f.node):
                continue  # a draw of 0 is accepted, as it should be
            why = zero(file, f.args[0])
            if why and not switched_off(file, f.node) and not guarded(file, f.node):
                yield Hit(f.node, f"The logarithm is -inf when the draw is 0: {why}.")


def _compared(file: File, node: ast.expr) -> bool:
    """Whether the logarithm is compared with another, and no more: `accept = log_w > log_u`."""
    statement = file.statement(node)
    names = {ast.unparse(t) for t, _ in flow.targets(statement)}
    uses = [n for n in file.own_nodes(file.scope(node)) if isinstance(n, ast.Name) and n.id in names]
    later: list[ast.expr] = [n for n in uses if isinstance(n.ctx, ast.Load)]
    later = later or [node]
    return all(isinstance(file.parents.get(n), ast.Compare) for n in later)
