"""Division by a norm that may be zero

What it does
------------
Finds divisions by `x.norm(...)`, `torch.linalg.norm`, `vector_norm` without an eps or clamp.

Why
---
The norm of a zero vector is 0, and x / x.norm() is 0 / 0. Zero vectors are ordinary: padding, zero initialisation,
dead units, equal pairs.

Bad
---
    import torch

    def unit(x):
        return x / x.norm(dim=-1, keepdim=True)

Good
----
    import torch.nn.functional as F

    def unit(x):
        return F.normalize(x, dim=-1)

When it is safe
---------------
Where the vectors cannot be zero. The fix writes `F.normalize`, which divides by at least 1e-12 (float32).
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.division import divisions
from whynan.lint.file import File
from whynan.lint.parts import short
from whynan.lint.rule import Hit

CODE = "WN305"
NAME = "normalize-by-norm"
CAUSES = ("division-by-zero", "norm-at-zero")
REMEDIES = ("stable-formulation", "clamp", "add-eps")


def check(file: File) -> Iterator[Hit]:
    for d in divisions(file):
        if d.shape == "norm":
            yield Hit(
                d.form.node, f"0 / 0 for a zero vector: {short(file, d.below.node)} is 0 there.", ("normalize_by_hand",)
            )
