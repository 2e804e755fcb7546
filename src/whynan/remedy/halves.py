"""Where a file asks for half precision, and where it seeds."""

from __future__ import annotations

import ast

from whynan.remedy import flow
from whynan.remedy.source import Source

HALF = ("torch.float16", "torch.half")


def half_calls(source: Source) -> list[ast.Call]:
    """`model.half()`, `x.half()`."""
    return [
        c
        for c in source.calls
        if isinstance(c.func, ast.Attribute) and c.func.attr == "half" and not c.args and not source.dotted(c.func)
    ]


def half_names(source: Source) -> list[ast.Attribute]:
    """`torch.float16`, `torch.half`."""
    return [n for n in ast.walk(source.tree) if isinstance(n, ast.Attribute) and source.dotted(n) in HALF]


def autocasts(source: Source) -> list[ast.Call]:
    return [c for c in source.calls if flow.last_name(c.func) == "autocast"]


def seeds(source: Source) -> list[ast.Call]:
    """`torch.manual_seed(0)`: what is decided before the first random number is decided before this line."""
    return [c for c in source.calls if flow.last_name(c.func) == "manual_seed"]
