"""Whether a quotient is bounded, or its bad entry overwritten, after it is made."""

from __future__ import annotations

import ast

from whynan.lint.file import File
from whynan.remedy import flow


def capped(file: File, node: ast.expr) -> bool:
    """Whether a quotient is bounded from above at once or by its name: `min(limit / n, 1)`, where inf does no harm."""
    for outer in file.ancestors(node):
        if isinstance(outer, ast.Call):
            return _caps(outer)
        if isinstance(outer, ast.stmt):
            break
    statement = file.statement(node)
    names = {ast.unparse(t) for t, _ in flow.targets(statement)}
    later = [n for n in file.own_nodes(file.scope(node)) if isinstance(n, ast.Call) and n.lineno > statement.lineno]
    return any(_caps(call) and any(ast.unparse(a) in names for a in _given(call)) for call in later)


def _caps(call: ast.Call) -> bool:
    name = flow.last_name(call.func)
    if name in ("clamp", "clip", "clamp_"):
        return any(k.arg == "max" for k in call.keywords) or len(call.args) > 1
    return name in ("min", "minimum", "clamp_max") and len(_given(call)) > 1


def _given(call: ast.Call) -> list[ast.expr]:
    return [*([call.func.value] if isinstance(call.func, ast.Attribute) else []), *call.args]


def first_replaced(file: File, node: ast.expr) -> bool:
    """Whether the first entry of the result is overwritten later in the function: `weights[0] = 0`."""
    statement = file.statement(node)
    names = {ast.unparse(t) for t, _ in flow.targets(statement)}
    return any(
        isinstance(target, ast.Subscript)
        and ast.unparse(target.value) in names
        and any(isinstance(n, ast.Constant) and n.value == 0 for n in ast.walk(target.slice))
        for later in file.own_nodes(file.scope(statement))
        if isinstance(later, ast.Assign) and later.lineno > statement.lineno
        for target in later.targets
    )
