"""From a use to its meaning across functions of one file: what callers give to a parameter, what a function returns.

Calls are matched by name, and only to functions and classes that are defined once in the file.
"""

from __future__ import annotations

import ast
from collections import defaultdict

from whynan.lint.file import File
from whynan.remedy import flow
from whynan.remedy.source import FUNCTIONS

MOST = 6  # callers looked at


def given(file: File, name: ast.Name) -> list[ast.expr]:
    """What the calls in this file give for a parameter of the function around its use; [] for anything else."""
    function = file.function(name)
    if function is None or name.id not in flow.arguments(function) or flow.bindings(file, function, name.id):
        return []
    found = callers(file, function)
    if function.name == "__init__" and len(found) > 1:
        return []  # what one of several instances is made with says little about the others
    out = []
    for call in found[:MOST]:
        value = flow.argument(call, function, name.id)
        if value is not None and file.function(value) is not function:
            out.append(value)
    return out


def callers(file: File, function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.Call]:
    """The calls of a function in this file; [] where its name is defined more than once."""
    owner = file.parents.get(function)
    if isinstance(owner, ast.ClassDef):
        if function.name in ("forward", "__call__"):
            return _instance_calls(file).get(owner.name, []) if _once(file, owner.name) else []
        calls = _named(file).get(owner.name if function.name == "__init__" else function.name, [])
        return calls if len(file.functions[function.name]) == 1 or function.name == "__init__" else []
    return _named(file).get(function.name, []) if len(file.functions[function.name]) == 1 else []


def returned(file: File, call: ast.Call) -> ast.expr | None:
    """The one expression that a function, or the forward of an instance, of this file returns; None otherwise."""
    function = _called(file, call)
    if function is None:
        return None
    cache = file.__dict__.setdefault("_returned", {})
    if function not in cache:
        nodes = [n for n in file.own_nodes(function) if isinstance(n, (ast.Return, ast.Yield, ast.YieldFrom))]
        only = nodes[0] if len(nodes) == 1 and isinstance(nodes[0], ast.Return) else None
        value = only.value if only is not None else None
        cache[function] = None if isinstance(value, (ast.Tuple, ast.Dict, ast.List, ast.Constant)) else value
    found: ast.expr | None = cache[function]
    return found


def _called(file: File, call: ast.Call) -> ast.AST | None:
    func = call.func
    if isinstance(func, ast.Name) and len(file.functions.get(func.id, ())) == 1:
        function = file.functions[func.id][0]
        return function if not isinstance(file.parents.get(function), ast.ClassDef) else None
    if isinstance(func, (ast.Name, ast.Attribute)) and file.dotted(func) is None:
        made = flow.meaning(file, func)
        name = flow.last_name(made.func) if isinstance(made, ast.Call) else None
        owner = _classes(file).get(name or "", [])
        if len(owner) == 1:
            return next((s for s in owner[0].body if isinstance(s, FUNCTIONS) and s.name == "forward"), None)
    return None


def _once(file: File, name: str) -> bool:
    return len(_classes(file).get(name, [])) == 1


def _classes(file: File) -> dict[str, list[ast.ClassDef]]:
    cache = file.__dict__.get("_classes")
    if cache is None:
        cache = defaultdict(list)
        for node in file.all(ast.ClassDef):
            cache[node.name].append(node)  # type: ignore[attr-defined]
        file.__dict__["_classes"] = cache
    return cache


def _named(file: File) -> dict[str, list[ast.Call]]:
    """Calls by the last part of what is called."""
    cache = file.__dict__.get("_named")
    if cache is None:
        cache = defaultdict(list)
        for call in file.calls:
            name = flow.last_name(call.func)
            if name is not None:
                cache[name].append(call)
        file.__dict__["_named"] = cache
    return cache


def _instance_calls(file: File) -> dict[str, list[ast.Call]]:
    """Class name -> calls of what somewhere is assigned an instance of it."""
    cache = file.__dict__.get("_instance_calls")
    if cache is None:
        cache = defaultdict(list)
        for node in file.all(ast.Assign):
            for target, value in flow.targets(node):
                name = flow.last_name(value.func) if isinstance(value, ast.Call) else None
                if name in _classes(file) and isinstance(target, (ast.Name, ast.Attribute)):
                    cache[name] += _named(file).get(flow.last_name(target) or "", [])
        file.__dict__["_instance_calls"] = cache
    return cache


def in_loop(file: File, function: ast.AST) -> list[ast.Call]:
    """The calls of a function in loops of this file."""
    if not isinstance(function, FUNCTIONS):
        return []
    found = callers(file, function)
    return [c for c in found if any(isinstance(a, (ast.For, ast.While)) for a in file.ancestors(c))]
