"""(x - min) / (max - min) of constant values

What it does
------------
Finds divisions by `x.max() - x.min()`.

Why
---
For constant x, such as an empty image or a feature that never varies, it is 0 / 0.

Bad
---
    import torch

    def rescale(image):
        low, high = image.min(), image.max()
        return (image - low) / (high - low)

Good
----
    import torch

    def rescale(image):
        low, high = image.min(), image.max()
        return (image - low) / (high - low).clamp(min=1e-8)

When it is safe
---------------
Where the values are known to differ.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.division import divisions
from whynan.lint.file import File
from whynan.lint.parts import short
from whynan.lint.rule import Hit

CODE = "WN303"
NAME = "normalize-by-range"
CAUSES = ("division-by-zero",)
REMEDIES = ("clamp", "add-eps")


def check(file: File) -> Iterator[Hit]:
    for d in divisions(file):
        if d.shape == "range":
            yield Hit(
                d.form.node,
                f"0 / 0 where all values are equal: {short(file, d.below.node)} is 0 there.",
                doubtful=not file.program,
            )
