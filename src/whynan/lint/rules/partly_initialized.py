"""A tensor of uninitialised memory, filled in part

What it does
------------
Finds `x = torch.empty(...)` whose only filling is one slice with an open end, `x[:n] = ...`, before x is used as a
whole.

Why
---
The rest is whatever was in memory: often zeros at first, then anything.

Bad
---
    import torch

    def grow(table, extra):
        larger = torch.empty(len(table) + extra, table.shape[1])
        larger[:len(table)] = table
        return larger

Good
----
    import torch

    def grow(table, extra):
        larger = torch.zeros(len(table) + extra, table.shape[1])
        larger[:len(table)] = table
        return larger

When it is safe
---------------
Where the slice covers everything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.rule import Hit

CODE = "WN705"
NAME = "partly-initialized"
CAUSES = ("uninitialized-memory",)
REMEDIES = ("initialize-memory",)


EMPTY = ("empty", "empty_like", "new_empty")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms(*EMPTY):
        statement = file.parents.get(f.node)
        if f.lib not in ("torch", "method") or not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            continue
        target = statement.targets[0]
        if isinstance(target, ast.Name) and _partly(file, statement, target.id):
            yield Hit(f.node, f"Only a part of `{target.id}` is filled; the rest is what was in memory.")


def _partly(file: File, made: ast.Assign, name: str) -> bool:
    """One store to a slice with an open end, and besides that only uses of the whole."""
    scope = file.scope(made)
    stores, whole = 0, 0
    for node in file.own_nodes(scope):
        if not isinstance(node, ast.Name) or node.id != name or node.lineno <= made.lineno:
            continue
        parent = file.parents.get(node)
        if isinstance(parent, ast.Subscript):
            if not isinstance(parent.ctx, ast.Store) or not _open_end(parent.slice) or _in_loop(file, parent, scope):
                return False
            stores += 1
        elif isinstance(parent, ast.Assign) and any(isinstance(t, ast.Name) for t in parent.targets):
            return False  # filled by another name, perhaps
        elif isinstance(parent, (ast.Return, ast.Assign)) or _parameter(file, parent):
            whole += 1
        else:
            return False
    return stores == 1 and whole > 0


def _open_end(index: ast.expr) -> bool:
    first = index.elts[0] if isinstance(index, ast.Tuple) and index.elts else index
    return isinstance(first, ast.Slice) and first.step is None and (first.lower is None) != (first.upper is None)


def _in_loop(file: File, node: ast.AST, scope: ast.AST) -> bool:
    for outer in file.ancestors(node):
        if outer is scope:
            return False
        if isinstance(outer, (ast.For, ast.While, ast.If)):
            return True
    return False


def _parameter(file: File, node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and (file.dotted(node.func) or "").startswith("torch.nn.Parameter")
