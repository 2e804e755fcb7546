"""Comparison with NaN

What it does
------------
Finds `x == float("nan")`, `loss != np.nan`, `x == torch.nan`.

Why
---
NaN is not equal to itself: the test is always false (and != always true). A check for NaN that is written so never
fires.

Bad
---
    import numpy as np
    import torch

    def healthy(loss):
        return loss.item() != np.nan

Good
----
    import math
    import torch

    def healthy(loss):
        return not math.isnan(loss.item())

When it is safe
---------------
Never.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.rule import Hit

CODE = "WN701"
NAME = "compared-with-nan"
CAUSES = ("bad-input",)
REMEDIES = ("other",)


NAN = frozenset(("torch.nan", "numpy.nan", "numpy.NaN", "numpy.NAN", "math.nan"))


def check(file: File) -> Iterator[Hit]:
    for node in file.all(ast.Compare):
        assert isinstance(node, ast.Compare)
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides, sides[1:]):
            if isinstance(op, (ast.Eq, ast.NotEq)) and (_nan(file, left) or _nan(file, right)):
                never = "never true" if isinstance(op, ast.Eq) else "always true"
                yield Hit(node, f"A comparison with NaN is {never}; use isnan.")


def _nan(file: File, node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float" and node.args:
        given = node.args[0]
        return isinstance(given, ast.Constant) and str(given.value).lower().lstrip("+-") == "nan"
    return file.dotted(node) in NAN
