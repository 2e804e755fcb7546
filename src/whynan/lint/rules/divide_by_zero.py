"""Division by something that reaches zero

What it does
------------
Finds divisions of arrays by a value that the code shows to reach 0 (a relu, a clamp at 0, an `arange` from 0, 1 -
softmax) and that is not one of the cases with a rule of their own.

Why
---
x / 0 is inf and 0 / 0 is NaN; also where the quotient is not used, its gradient is.

Bad
---
    import torch

    def inverse_gate(x):
        return 1.0 / torch.relu(x)

Good
----
    import torch

    def inverse_gate(x):
        return 1.0 / (torch.relu(x) + 1e-6)

When it is safe
---------------
Where a test, an eps or a clamp keeps the divisor away from 0; the rule looks for these.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.division import divisions
from whynan.lint.file import File
from whynan.lint.parts import short
from whynan.lint.rule import Hit

CODE = "WN301"
NAME = "divide-by-zero"
CAUSES = ("division-by-zero",)
REMEDIES = ("add-eps", "clamp", "safe-where")


def check(file: File) -> Iterator[Hit]:
    for d in divisions(file):
        if d.shape == "other":
            message = f"Division by {short(file, d.below.node)}, which can be 0: {d.why}."
            yield Hit(d.form.node, message, doubtful=not file.program)
