"""What a name or a call stands for, through assignments, selections and functions of the file; the number it may be."""

from __future__ import annotations

import ast
import math

from whynan.lint.calls import given, returned
from whynan.lint.changes import changed, touched
from whynan.lint.file import File
from whynan.remedy import flow
from whynan.remedy.form import SELECTING, Form, form

PI = ("math.pi", "numpy.pi", "torch.pi")
LIBS = ("torch", "numpy", "scipy", "method", "module", "math")


def behind(file: File, f: Form) -> Form:
    """The form that a name or a call of this file stands for, as far as nothing changed the value on the way.

    A parameter stands for what the first caller in this file gives; a call for what the function returns.
    """
    for _ in range(8):
        value = _meaning(file, f)
        if value is None:
            return f
        f = form(file, value)
    return f


def _meaning(file: File, f: Form) -> ast.expr | None:
    cache: dict[ast.AST, ast.expr | None] = file.__dict__.setdefault("_meanings", {})
    if f.node not in cache:
        cache[f.node] = None
        value: ast.expr | None = None
        if f.op == "name" and isinstance(f.node, (ast.Name, ast.Attribute)):
            value = flow.meaning(file, f.node)
            if value is not None and changed(file, f.node, value):
                value = None
            elif value is None and isinstance(f.node, ast.Name) and not touched(file, f.node):
                value = next(iter(given(file, f.node)), None)
        elif isinstance(f.node, ast.Call) and f.lib in ("python", "method"):
            value = returned(file, f.node)
        cache[f.node] = value
    return cache[f.node]


def through(file: File, f: Form) -> Form:
    """The same, and behind selections: of `p[0].float()` the form of p."""
    for _ in range(8):
        f = behind(file, f)
        if f.op in SELECTING and f.args and f.lib in LIBS:
            f = f.args[0]
        else:
            return f
    return f


def constant(file: File, f: Form | None, depth: int = 0) -> float | None:
    """The number that an expression is, through names, defaults of parameters and arithmetic; None otherwise."""
    if f is None or depth > 6:
        return None
    f = behind(file, f)
    if f.number is not None:
        return f.number
    if isinstance(f.node, ast.Attribute) and file.dotted(f.node) in PI:
        return math.pi
    if f.op == "name" and isinstance(f.node, ast.Name):
        default = flow.default(file.scope(f.node), f.node.id)
        return form(file, default).number if default is not None else None
    if f.op == "neg" and f.args:
        inner = constant(file, f.args[0], depth + 1)
        return None if inner is None else -inner
    if f.op in ("add", "sub", "mul", "div") and len(f.args) == 2:
        a, b = (constant(file, x, depth + 1) for x in f.args)
        if a is None or b is None or (f.op == "div" and b == 0):
            return None
        return {"add": a + b, "sub": a - b, "mul": a * b, "div": a / (b or 1)}[f.op]
    return None
