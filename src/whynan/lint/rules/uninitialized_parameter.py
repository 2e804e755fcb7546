"""A parameter made of uninitialised memory

What it does
------------
Finds `nn.Parameter(torch.empty(...))` in a class that never fills it: no call that takes it or changes it in place,
no reset or init method.

Why
---
torch.empty hands out whatever was in memory: zeros in a fresh process, old activations or 1e38 later. The run
differs from process to process, and sometimes starts with NaN.

Bad
---
    import torch
    import torch.nn as nn

    class Scale(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(size))

        def forward(self, x):
            return x * self.weight

Good
----
    import torch
    import torch.nn as nn

    class Scale(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(size))
            nn.init.ones_(self.weight)

        def forward(self, x):
            return x * self.weight

When it is safe
---------------
Where a checkpoint always fills it, or another object initialises it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.rule import Hit
from whynan.remedy.form import form

CODE = "WN703"
NAME = "uninitialized-parameter"
CAUSES = ("uninitialized-memory",)
REMEDIES = ("initialize-memory", "reinitialize")
PLAIN = (["nn.Module"], ["torch.nn.Module"], ["Module"])


FILLS = re.compile(r"init|reset|load|fill|normal_|uniform_|zero_|ones_|copy_|data\b")
PREVIEW = True
EMPTY = ("empty", "empty_like", "new_empty")


def check(file: File) -> Iterator[Hit]:
    for node in file.all(ast.Assign):
        assert isinstance(node, ast.Assign)
        target, value = node.targets[0], node.value
        if not isinstance(target, ast.Attribute) or not isinstance(value, ast.Call):
            continue
        if file.dotted(value.func) not in ("torch.nn.Parameter", "torch.nn.parameter.Parameter") or not value.args:
            continue
        made = form(file, value.args[0])
        if made.op in EMPTY and made.lib in ("torch", "method") and not _filled(file, node, target.attr):
            yield Hit(value, f"Nothing fills `self.{target.attr}`: it holds what was in memory.")


def _filled(file: File, node: ast.Assign, name: str) -> bool:
    """Whether anything in the file may fill the attribute, or the class initialises itself in some general way."""
    owner = next((a for a in file.ancestors(node) if isinstance(a, ast.ClassDef)), None)
    if owner is None or [ast.unparse(b) for b in owner.bases] not in PLAIN:
        return True  # a base class of theirs may do it
    for inner in ast.walk(owner):
        if isinstance(inner, ast.FunctionDef) and inner.name != "__init__" and FILLS.search(inner.name):
            return True
        if (
            isinstance(inner, ast.Call)
            and FILLS.search(ast.unparse(inner.func))
            and "super" not in ast.unparse(inner.func)
        ):
            return True
        if isinstance(inner, (ast.Subscript, ast.For)) and isinstance(getattr(inner, "ctx", None), ast.Store):
            return True
    return f".{name}" in file.text.replace(f"self.{name}", "")
