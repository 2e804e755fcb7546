"""What happens to a value between its definition and its use, other than an assignment to the name.

`count[count == 0] = 1`, `scale.clamp_(min=eps)` and `torch.clamp(x, 1, out=x)` change a value without binding its name.
"""

from __future__ import annotations

import ast
from collections import defaultdict

from whynan.lint.file import File
from whynan.remedy import flow

Place = tuple[int, int]


def changed(file: File, use: ast.expr, value: ast.expr) -> bool:
    """Whether the value that a name or attribute holds at `use` may have been changed in place since its definition."""
    key = ast.unparse(use) if not isinstance(use, ast.Name) else use.id
    places = _changes(file).get((file.scope(use), key), ())
    if not places:
        return False
    if isinstance(use, ast.Attribute):
        return True
    return any(flow.position(value) < place < flow.position(use) for place in places)


def touched(file: File, use: ast.expr) -> bool:
    """Whether the value of a name is changed in place before its use in the function: `z.sub_(top)`, `z -= top`."""
    key = ast.unparse(use)
    return any(place < flow.position(use) for place in _changes(file).get((file.scope(use), key), ()))


def _changes(file: File) -> dict[tuple[ast.AST, str], list[Place]]:
    """(function, name) -> where its value is changed in place."""
    cache = file.__dict__.get("_changes")
    if cache is None:
        cache = defaultdict(list)
        for node in file.all(ast.Assign, ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]
            for target in targets:
                inner = target
                while isinstance(inner, ast.Subscript):
                    inner = inner.value
                if inner is not target or (isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Sub)):
                    _note(file, cache, inner)
        for call in file.all(ast.Call):
            assert isinstance(call, ast.Call)
            func = call.func
            if isinstance(func, ast.Attribute) and func.attr.endswith("_") and not func.attr.endswith("__"):
                receiver: ast.expr = func.value
                while isinstance(receiver, (ast.Subscript, ast.Call)):
                    receiver = receiver.value if isinstance(receiver, ast.Subscript) else receiver.func
                _note(file, cache, receiver)
            for keyword in call.keywords:
                if keyword.arg == "out":
                    _note(file, cache, keyword.value)
        file.__dict__["_changes"] = cache
    return cache


def _note(file: File, cache: dict[tuple[ast.AST, str], list[Place]], target: ast.expr) -> None:
    if isinstance(target, ast.Name):
        cache[file.scope(target), target.id].append(flow.position(target))
    elif isinstance(target, ast.Attribute):
        cache[file.scope(target), ast.unparse(target)].append(flow.position(target))
