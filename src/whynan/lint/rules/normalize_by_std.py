"""Division by a standard deviation that may be zero

What it does
------------
Finds divisions by `x.std(...)`, its root of a variance or the variance itself, without an eps or clamp.

Why
---
The standard deviation of constant values is 0: a feature that never varies, a padded row, equal rewards. (x - mean)
/ std is then 0 / 0.

Bad
---
    import torch

    def standardize(x):
        return (x - x.mean(dim=-1)) / x.std(dim=-1)

Good
----
    import torch

    def standardize(x):
        return (x - x.mean(dim=-1)) / (x.std(dim=-1) + 1e-6)

When it is safe
---------------
Where the values are known to vary, for example noise that was drawn.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.division import divisions
from whynan.lint.file import File
from whynan.lint.parts import short
from whynan.lint.rule import Hit

CODE = "WN304"
NAME = "normalize-by-std"
CAUSES = ("division-by-zero",)
REMEDIES = ("add-eps", "clamp", "drop-bad-batch")


def check(file: File) -> Iterator[Hit]:
    for d in divisions(file):
        if d.shape == "std":
            yield Hit(
                d.form.node,
                f"0 / 0 where all values are equal: {short(file, d.below.node)} is 0 there.",
                doubtful=not file.program,
            )
