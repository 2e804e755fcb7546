"""Gradient through singular or eigenvectors

What it does
------------
Finds `svd` and `eigh` whose vectors are used, where gradients flow. A preview rule: whether gradients arrive cannot
be seen.

Why
---
The derivative of the vectors has 1 / (s_i - s_j): it is infinite where two singular values or eigenvalues are
equal, as those of the identity are, and zero ones of a matrix that is not of full rank.

Bad
---
    import torch

    def rotation(m):
        u, _, vt = torch.linalg.svd(m)
        return u @ vt

Good
----
    import torch

    def spectrum(m):
        return torch.linalg.svdvals(m)

When it is safe
---------------
Where only values are used (`svdvals`, `eigvalsh`), or a distinct jitter keeps them apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import switched_off
from whynan.lint.rule import Hit

CODE = "WN516"
NAME = "gradient-of-decomposition"
CAUSES = ("ill-conditioned-linalg",)
REMEDIES = ("add-jitter", "stable-formulation")
PREVIEW = True


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("svd", "eigh"):
        if f.lib == "torch" and not switched_off(file, f.node):
            yield Hit(f.node, "The gradient through the vectors is infinite where two of the values are equal.")
