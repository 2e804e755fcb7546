"""Which functions of a module a compiler may trace: they are left exactly as the user wrote them.

torch.compile, numba and the like read bytecode, and torch.compile inlines what the model calls. A loop around `try`
inside such code can turn one graph break into a whole function that is no longer compiled. Seen by name, in one
module, without running it:

- a function with a decorator that names a compiler: `@torch.compile`, `@njit`, `@triton.jit`;
- a function or method that is handed to one by name: `step = torch.compile(step)`, `torch.compile(self.encode)`;
- `forward` of a class: the model's code;
- whatever these call by name in the same module, `helper(x)`, or in the same class and its relatives,
  `self.encode(x)`, and so on.

A helper in another module is not seen. It is rewritten, and torch.compile traces the rewritten form, see `tracing`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef

COMPILERS = frozenset({"compile", "jit", "njit", "vectorize", "guvectorize", "autotune"})


def traced_functions(tree: ast.Module) -> list[Function]:
    """The functions of `tree` that a compiler may trace, in no particular order. Those inside them are not listed."""
    module = _Module(tree)
    pending: list[Function] = [method for method in module.classes if method.name == "forward"]
    for node in ast.walk(tree):
        if isinstance(node, Function) and any(map(_names_compiler, node.decorator_list)):
            pending.append(node)
        elif isinstance(node, ast.Call) and _names_compiler(node.func):
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                pending.extend(module.meant(argument, None))
    found: dict[ast.AST, Function] = {}
    while pending:
        function = pending.pop()
        if function not in found:
            found[function] = function
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    pending.extend(module.meant(node.func, module.classes.get(function)))
    return list(found.values())


class _Module:
    """What the names of a module stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self.functions: dict[str, list[Function]] = {}  # by bare name
        self.methods: dict[str, list[Function]] = {}
        self.classes: dict[Function, ast.ClassDef] = {}  # of methods
        self.bases: dict[str, set[str]] = {}  # of classes, by name
        for node in ast.walk(tree):  # breadth first: a class comes before its methods
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                self.bases.setdefault(node.name, set()).update(bases)
                self.classes.update((inner, node) for inner in node.body if isinstance(inner, Function))
            elif isinstance(node, Function):
                table = self.methods if node in self.classes else self.functions
                table.setdefault(node.name, []).append(node)

    def meant(self, expression: ast.expr, within: ast.ClassDef | None) -> Iterator[Function]:
        """The functions that a name, or an attribute of `self`, `cls` or `super()`, can stand for.

        within: the class around; None: the methods of all classes are meant.
        """
        if isinstance(expression, ast.Name):
            yield from self.functions.get(expression.id, ())
        elif isinstance(expression, ast.Attribute):
            owner = expression.value.func if isinstance(expression.value, ast.Call) else expression.value
            if isinstance(owner, ast.Name) and owner.id in ("self", "cls", "super"):
                for method in self.methods.get(expression.attr, ()):
                    if within is None or self._related(within.name, self.classes[method].name):
                        yield method

    def _related(self, one: str, other: str) -> bool:
        return one in self._ancestors(other) or other in self._ancestors(one)

    def _ancestors(self, name: str) -> set[str]:
        found: set[str] = set()
        pending = {name}
        while pending:
            found |= pending
            pending = {base for known in pending for base in self.bases.get(known, ())} - found
        return found


def _names_compiler(expression: ast.expr) -> bool:
    for node in ast.walk(expression):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        if name in COMPILERS:
            return True
    return False
