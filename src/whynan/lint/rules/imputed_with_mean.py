"""Missing values replaced by a mean that is NaN

What it does
------------
Finds `torch.nan_to_num(x, nan=x.mean())`, `x[isnan(x)] = x.mean()` and `where(isnan(x), x.mean(), x)` of tensors
and arrays.

Why
---
The mean of values with a NaN among them is NaN: nothing is imputed.

Bad
---
    import torch

    def impute(x):
        return torch.where(torch.isnan(x), x.mean(), x)

Good
----
    import torch

    def impute(x):
        return torch.where(torch.isnan(x), x.nanmean(), x)

When it is safe
---------------
For pandas, whose mean leaves NaN out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.meaning import behind
from whynan.lint.rule import Hit
from whynan.remedy import flow
from whynan.remedy.form import Form, form, same

CODE = "WN702"
NAME = "imputed-with-mean"
CAUSES = ("bad-input",)
REMEDIES = ("impute-inputs",)
MESSAGE = "The mean of values with a NaN among them is NaN: nothing is imputed. Use nanmean."


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("where"):
        if f.lib in ("torch", "numpy") and len(f.args) == 3:
            x = _missing(file, f.args[0])
            if x is not None and _plain_mean(file, f.args[1], x):
                yield Hit(f.args[1].node, MESSAGE)
    for f in file.forms("nan_to_num"):
        value = f.kw.get("nan") or f.arg(1)
        if (
            value is not None
            and f.args
            and f.lib in ("torch", "numpy", "method")
            and _plain_mean(file, value, f.args[0])
        ):
            yield Hit(value.node, MESSAGE)
    for node in file.all(ast.Assign):
        assert isinstance(node, ast.Assign)
        target = node.targets[0]
        if isinstance(target, ast.Subscript):
            x = _missing(file, form(file, target.slice))
            if x is not None and _plain_mean(file, form(file, node.value), x):
                yield Hit(node.value, MESSAGE)


def _missing(file: File, f: Form) -> Form | None:
    """x of isnan(x)."""
    f = behind(file, f)
    return f.args[0] if f.op == "isnan" and f.args and f.lib in ("torch", "numpy", "method") else None


def _plain_mean(file: File, value: Form, x: Form) -> bool:
    """The mean, std, median by numpy, min or max of x itself, which a NaN turns to NaN."""
    f = behind(file, value)
    name = flow.last_name(f.node.func) if isinstance(f.node, ast.Call) else ""
    return f.op == "mean" and name == "mean" and bool(f.args) and same(file, f.args[0], x)
