"""Logarithm of a determinant

What it does
------------
Finds `log(det(A))`, also of its absolute value.

Why
---
The determinant of an n by n matrix scales with the n-th power of its entries: it leaves the range of float32 for
harmless matrices (0.1 * eye(50) has determinant 0 in float32), and is negative by rounding. `slogdet` works on the
logarithm.

Bad
---
    import torch

    def gaussian_nll(residual, cov):
        return 0.5 * torch.log(torch.det(cov)) + 0.5 * residual @ torch.linalg.solve(cov, residual)

Good
----
    import torch

    def gaussian_nll(residual, cov):
        return 0.5 * torch.linalg.slogdet(cov).logabsdet + 0.5 * residual @ torch.linalg.solve(cov, residual)

When it is safe
---------------
Where the identity is added to a small matrix, as in the matrix determinant lemma (the rule is silent then), and for
matrices of fixed size 2 or 3 with entries of order 1 that are known to be well conditioned.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS
from whynan.lint.rule import Hit
from whynan.remedy.form import Form

CODE = "WN105"
NAME = "log-of-determinant"
CAUSES = ("log-of-zero", "ill-conditioned-linalg")
REMEDIES = ("stable-formulation", "add-jitter", "float64")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("log"):
        if f.lib not in ARRAYS or not f.args:
            continue
        inner = through(file, f.args[0])
        if inner.op == "abs" and inner.args:
            inner = through(file, inner.args[0])
        if inner.op == "det" and _plus_identity(file, inner):
            continue
        if inner.op == "det" and inner.lib in ARRAYS and not guarded(file, f.node):
            yield Hit(f.node, "A determinant under- and overflows where its logarithm does not: slogdet.")


def _plus_identity(file: File, det: Form) -> bool:
    inner = through(file, det.args[0]) if det.args else det
    return inner.op == "add" and any(through(file, a).op == "eye" for a in inner.args)
