"""x / x.sum() where everything may be zero

What it does
------------
Finds `x / x.sum(...)` where the code shows that all of x can be 0: a relu, a masked distribution, squares.

Why
---
0 / 0 is NaN. A distribution that is masked and normalised again is 0 everywhere when nothing is left.

Bad
---
    import torch

    def attention(scores, mask):
        weights = torch.relu(scores) * mask
        return weights / weights.sum(dim=-1, keepdim=True)

Good
----
    import torch

    def attention(scores, mask):
        weights = torch.relu(scores) * mask
        return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-8)

When it is safe
---------------
Where at least one element is known to be positive, as behind a softmax or an exp; the rule sees these.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.division import divisions
from whynan.lint.file import File
from whynan.lint.parts import short
from whynan.lint.rule import Hit

CODE = "WN302"
NAME = "normalize-by-sum"
CAUSES = ("division-by-zero", "empty-count")
REMEDIES = ("clamp", "add-eps", "guard-empty")


def check(file: File) -> Iterator[Hit]:
    for d in divisions(file):
        if d.shape == "sum":
            yield Hit(d.form.node, f"0 / 0 where {short(file, d.below.node)} is 0: {d.why}.", doubtful=not file.program)
