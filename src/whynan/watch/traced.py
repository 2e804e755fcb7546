"""Which functions of a module a compiler may trace: they are left exactly as the user wrote them.

torch.compile, numba and the like read bytecode, and torch.compile inlines what the model calls. A loop around `try`
inside such code can cost a graph break, or an error under `fullgraph=True`. Seen by name, in one module, without
running it:

- a function with a decorator that names a compiler: `@torch.compile`, `@njit`, `@triton.jit`, `@partial(jax.jit, ...)`;
- a function or method that is handed to one by name: `step = torch.compile(step)`, `torch.compile(self.encode)`;
- `forward` of a class: the model's code;
- whatever these call by name in the same module, `helper(x)` or `self.encode(x)`, and so on.

A helper in another module is not seen; it is rewritten, and tracing it works, at the price of the inlined wrapper.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef

COMPILERS = frozenset({"compile", "jit", "njit", "script", "vectorize", "guvectorize", "autotune", "pmap", "export"})


def traced_functions(tree: ast.Module) -> list[Function]:
    """The outermost and inner functions of `tree` that a compiler may trace, in no particular order."""
    functions, methods = _by_name(tree)
    found: dict[ast.AST, Function] = {}
    pending: list[Function] = list(methods.get("forward", ()))
    for known in (functions, methods):
        for same_name in known.values():
            pending.extend(function for function in same_name if any(map(_names_compiler, function.decorator_list)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _names_compiler(node.func):
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                pending.extend(_meant(argument, functions, methods))
    while pending:
        function = pending.pop()
        if function not in found:
            found[function] = function
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    pending.extend(_meant(node.func, functions, methods))
    return list(found.values())


def _by_name(tree: ast.Module) -> tuple[dict[str, list[Function]], dict[str, list[Function]]]:
    """Plain functions and methods of the module, by their bare name."""
    functions: dict[str, list[Function]] = {}
    methods: dict[str, list[Function]] = {}
    in_classes: set[ast.AST] = set()
    for node in ast.walk(tree):  # breadth first: a class comes before its methods
        if isinstance(node, ast.ClassDef):
            in_classes.update(node.body)
        elif isinstance(node, Function):
            (methods if node in in_classes else functions).setdefault(node.name, []).append(node)
    return functions, methods


def _names_compiler(expression: ast.expr) -> bool:
    for node in ast.walk(expression):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        if name in COMPILERS:
            return True
    return False


def _meant(
    expression: ast.expr, functions: dict[str, list[Function]], methods: dict[str, list[Function]]
) -> Iterator[Function]:
    """The functions that a name, or an attribute of `self`, `cls` or `super()`, can stand for."""
    if isinstance(expression, ast.Name):
        yield from functions.get(expression.id, ())
    elif isinstance(expression, ast.Attribute):
        owner = expression.value
        if isinstance(owner, ast.Call):
            owner = owner.func
        if isinstance(owner, ast.Name) and owner.id in ("self", "cls", "super"):
            yield from methods.get(expression.attr, ())
