"""What an assignment says about a name: single reaching definitions, attributes of self, arguments at call sites.

Simple on purpose. A definition is the last assignment before the use whose block encloses the use, provided nothing
in
between assigns the name again; where that is not certain the answer is None and the caller keeps the name as it
stands.
"""

from __future__ import annotations

import ast

from whynan.remedy.source import FUNCTIONS, Source

BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith)


def position(node: ast.AST) -> tuple[int, int]:
    return node.lineno, node.col_offset  # type: ignore[attr-defined]


def targets(node: ast.AST) -> list[tuple[ast.expr, ast.expr | None]]:
    """(target, value) pairs of a statement that binds names; value None where it cannot be told."""
    if isinstance(node, ast.Assign):
        return [pair for target in node.targets for pair in _unpack(target, node.value)]
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return [(node.target, node.value)]
    if isinstance(node, ast.NamedExpr):
        return [(node.target, node.value)]
    if isinstance(node, ast.AugAssign):
        return [(node.target, None)]
    if isinstance(node, (ast.For, ast.AsyncFor)):
        return [(t, None) for t in _names(node.target)]
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return [(t, None) for item in node.items if item.optional_vars for t in _names(item.optional_vars)]
    return []


def _names(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, (ast.Tuple, ast.List)):
        return [n for e in target.elts for n in _names(e)]
    return [target.value if isinstance(target, ast.Starred) else target]


def _unpack(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr | None]]:
    if not isinstance(target, (ast.Tuple, ast.List)):
        return [(target, value)]
    if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
        return [pair for t, v in zip(target.elts, value.elts) for pair in _unpack(t, v)]
    return [(n, None) for n in _names(target)]


def bindings(source: Source, scope: ast.AST, name: str) -> list[tuple[ast.AST, ast.expr | None]]:
    """(statement, value) of every binding of a local name in a function or module, in source order."""
    cache = source.__dict__.setdefault("_bindings", {})
    if scope not in cache:
        found: dict[str, list[tuple[ast.AST, ast.expr | None]]] = {}
        for node in source.own_nodes(scope):
            for target, value in targets(node):
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append((node, value))
        cache[scope] = found
    return cache[scope].get(name, [])


def definition(source: Source, use: ast.Name, seen_lambda: bool = False) -> ast.expr | None:
    """The expression a name stands for at `use`, or None."""
    scope = source.scope(use)
    here = bindings(source, scope, use.id)
    before = [(s, v) for s, v in here if s is not source.statement(use) and position(s) < position(use)]
    if before:
        statement, value = before[-1]
        return value if value is not None and _dominates(source, statement, use) else None
    if here or (isinstance(scope, FUNCTIONS) and use.id in arguments(scope)):
        return None
    if scope is not source.tree:
        outer = source.function(scope)
        level = outer if outer is not None else source.tree
        found = bindings(source, level, use.id)
        if outer is not None and not found:
            found = bindings(source, source.tree, use.id)
        return found[0][1] if len(found) == 1 else None
    return None


def _dominates(source: Source, statement: ast.AST, use: ast.AST) -> bool:
    """Whether the block that holds the statement also encloses the use, on the same branch."""
    block = source.parents.get(statement)
    if isinstance(statement, ast.expr):
        return True
    chain = [use, *source.ancestors(use)]
    if block not in chain:
        return False
    inner = chain[chain.index(block) - 1]  # type: ignore[arg-type]
    return _branch(block, statement) == _branch(block, inner)


def _branch(block: ast.AST | None, child: ast.AST) -> str | None:
    for field in ("body", "orelse", "finalbody", "handlers"):
        part = getattr(block, field, None)
        if isinstance(part, list) and any(child is item for item in part):
            return field
    return None


def arguments(function: ast.AST) -> list[str]:
    if not isinstance(function, (*FUNCTIONS, ast.Lambda)):
        return []
    a = function.args
    return [x.arg for x in [*a.posonlyargs, *a.args, *a.kwonlyargs]]


def unchanged(source: Source, expression: ast.AST, since: ast.AST, until: ast.AST) -> bool:
    """Whether the names in an expression mean the same at `until` as at `since` (no assignment to them in
    between)."""
    scope = source.scope(until)
    if source.scope(since) is not scope:
        return False
    for node in ast.walk(expression):
        if isinstance(node, ast.Name):
            for statement, _ in bindings(source, scope, node.id):
                if position(since) <= position(statement) < position(until) and statement is not source.statement(
                    until
                ):
                    return False
    return True


def attribute(source: Source, node: ast.AST) -> ast.expr | None:
    """The expression assigned to `self.x`, if the class assigns it exactly once."""
    if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"):
        return None
    owner = source.class_of(node)
    found = []
    for inner in ast.walk(owner) if owner else []:
        for target, value in targets(inner):
            if (
                isinstance(target, ast.Attribute)
                and target.attr == node.attr
                and source.segment(target.value) == "self"
            ):
                found.append(value)
    return found[0] if len(found) == 1 else None


def meaning(source: Source, node: ast.expr) -> ast.expr | None:
    """What a name or an attribute of self was assigned, or None."""
    if isinstance(node, ast.Name):
        return definition(source, node)
    return attribute(source, node)


def callers(source: Source, function: ast.AST) -> list[ast.Call]:
    """Calls in this file that by their name may reach a function; `Class(...)` for __init__, `module(...)` for
    forward."""
    name = getattr(function, "name", None)
    owner = source.class_of(function)
    names = {owner.name} if owner is not None and name == "__init__" else {name}
    found = [c for c in source.calls if last_name(c.func) in names]
    if name in ("forward", "__call__") and owner is not None:
        instances = {
            source.segment(t)
            for n in ast.walk(source.tree)
            for t, v in targets(n)
            if isinstance(v, ast.Call) and last_name(v.func) == owner.name
        }
        found += [c for c in source.calls if source.segment(c.func) in instances]
    return found


def last_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def argument(call: ast.Call, function: ast.AST, name: str) -> ast.expr | None:
    """The expression that a call gives to the parameter `name` of a function; None where it leaves the default."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    names = arguments(function)
    if names[:1] in (["self"], ["cls"]):
        names = names[1:]
    at = names.index(name) if name in names else -1
    return (
        call.args[at] if 0 <= at < len(call.args) and not any(isinstance(a, ast.Starred) for a in call.args) else None
    )


def default(function: ast.AST, name: str) -> ast.expr | None:
    """The default of a parameter."""
    if not isinstance(function, (*FUNCTIONS, ast.Lambda)):
        return None
    a = function.args
    plain = [*a.posonlyargs, *a.args]
    paired = dict(zip([x.arg for x in plain[len(plain) - len(a.defaults) :]], a.defaults))
    paired |= {x.arg: d for x, d in zip(a.kwonlyargs, a.kw_defaults) if d is not None}
    return paired.get(name)
