"""One file as the rules see it: the source with an index of its calls, operators and statements, made in one pass.

`File` is the `Source` of the remedies, so that a rule and a remedy read code by the same definitions; what the source
looks up by walking the tree is answered here from the index, because a tree of packages has millions of lines.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from whynan.remedy import flow
from whynan.remedy.form import MODULES, OPERATORS, SYNONYMS, Form, form
from whynan.remedy.source import FUNCTIONS, Source

TORCH = re.compile(r"^\ufeff?[ \t]*(?:import|from)[ \t]+torch\b", re.MULTILINE)
_CONTEXT = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)


class File(Source):
    """A parsed file with an index. SyntaxError and ValueError (null bytes) are the caller's."""

    def __init__(self, text: str, path: str | Path = "train.py", rel: str | None = None) -> None:
        super().__init__(text, path, rel)
        self._index()

    def _index(self) -> None:
        """Parents of all nodes, and nodes by their type, in source order."""
        parents: dict[ast.AST, ast.AST] = {}
        nodes: dict[type, list[ast.AST]] = defaultdict(list)
        stack: list[ast.AST] = [self.tree]
        while stack:
            node = stack.pop()
            nodes[type(node)].append(node)
            children: list[ast.AST] = []
            for name in node._fields:
                value = getattr(node, name, None)
                if isinstance(value, ast.AST):
                    if not isinstance(value, _CONTEXT):
                        children.append(value)
                elif isinstance(value, list):
                    children += [item for item in value if isinstance(item, ast.AST) and not isinstance(item, _CONTEXT)]
            for child in children:
                parents[child] = node
            children.reverse()
            stack += children
        self.parents = parents
        self.nodes = nodes

    def all(self, *types: type) -> Iterator[ast.AST]:
        """Every node of these types."""
        for kind in types:
            yield from self.nodes.get(kind, ())

    # -- what Source finds by walking --------------------------------------------------------------------------------
    @cached_property
    def aliases(self) -> dict[str, str]:
        """Name in this file -> dotted name; see `Source.aliases`."""
        out: dict[str, str] = {}
        for node in self.all(ast.Import):
            for item in node.names:  # type: ignore[attr-defined]
                out[item.asname or item.name.split(".")[0]] = item.name if item.asname else item.name.split(".")[0]
        for node in self.all(ast.ImportFrom):
            assert isinstance(node, ast.ImportFrom)
            if node.module and not node.level:
                for item in node.names:
                    out[item.asname or item.name] = f"{node.module}.{item.name}"
        return out

    @cached_property
    def functions(self) -> dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]]:
        out: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        for node in self.all(*FUNCTIONS):
            out.setdefault(node.name, []).append(node)  # type: ignore[attr-defined, arg-type]
        return out

    @cached_property
    def calls(self) -> list[ast.Call]:
        found = [n for n in self.all(ast.Call) if isinstance(n, ast.Call)]
        return sorted(found, key=lambda n: (n.lineno, n.col_offset, -(n.end_lineno or 0), -(n.end_col_offset or 0)))

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The class around a node. For `self.x` a class of that name with only the statements that assign `self.x`:
        all that `flow.attribute` reads of it, without walking the whole class each time."""
        owner = super().class_of(node)
        if owner is None or not isinstance(node, ast.Attribute):
            return owner
        small = ast.ClassDef(owner.name, owner.bases, [], [], [])
        small.body = self._attributes.get((owner, node.attr), [])
        return small

    @cached_property
    def _attributes(self) -> dict[tuple[ast.ClassDef, str], list[ast.stmt]]:
        """(class, x) -> the statements in it that assign self.x."""
        out: dict[tuple[ast.ClassDef, str], list[ast.stmt]] = defaultdict(list)
        for node in self.all(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.With):
            names = {t.attr for t, _ in flow.targets(node) if isinstance(t, ast.Attribute)}
            owner = super().class_of(node) if names else None
            for name in names:
                if owner is not None:
                    kept = node if not isinstance(node, (ast.For, ast.With)) else _heading(node)
                    out[owner, name].append(kept)  # type: ignore[arg-type]
        return out

    # -- forms -------------------------------------------------------------------------------------------------------
    def forms(self, *ops: str) -> list[Form]:
        """Every call or operator that means one of these ops, in any spelling, in source order."""
        found = [f for op in ops for f in self._forms_of(op)]
        return sorted(found, key=lambda f: (f.node.lineno, f.node.col_offset)) if len(ops) > 1 else found

    def _forms_of(self, op: str) -> list[Form]:
        cache = self.__dict__.setdefault("_by_op", {})
        if op not in cache:
            nodes = [*self._calls_by_op.get(op, ()), *self._operators.get(op, ())]
            cache[op] = [f for f in (form(self, n) for n in nodes) if f.op == op]
        found: list[Form] = cache[op]
        return found

    @cached_property
    def _calls_by_op(self) -> dict[str, list[ast.Call]]:
        modules = self._module_names
        out: dict[str, list[ast.Call]] = defaultdict(list)
        for node in self.all(ast.Call):
            assert isinstance(node, ast.Call)
            name = flow.last_name(node.func)
            if name in modules or isinstance(node.func, ast.Call):
                out[form(self, node).op].append(node)
            elif name is not None:
                plain = name.rstrip("_") if not name.startswith("__") else name
                out[SYNONYMS.get(plain, plain)].append(node)
        return out

    @cached_property
    def _module_names(self) -> set[str]:
        """Names that somewhere are assigned an nn.Module that is a function: criterion, self.softmax."""
        out: set[str] = set()
        for node in self.all(ast.Assign, ast.AnnAssign):
            for target, value in flow.targets(node):
                if isinstance(value, ast.Call) and flow.last_name(value.func) in MODULES:
                    name = flow.last_name(target)
                    out |= {name} if name else set()
        return out

    @cached_property
    def _operators(self) -> dict[str, list[ast.expr]]:
        out: dict[str, list[ast.expr]] = defaultdict(list)
        for node in self.all(ast.BinOp, ast.AugAssign):
            out[OPERATORS.get(type(node.op), "binop")].append(node)  # type: ignore[attr-defined, arg-type]
        return out

    # -- lines -------------------------------------------------------------------------------------------------------
    def line(self, number: int) -> str:
        """The text of a line (1-based) without its newline."""
        start = self.starts[number - 1]
        end = self.starts[number] if number < len(self.starts) else len(self.data)
        return self.data[start:end].decode(errors="replace").removeprefix("\ufeff").rstrip("\r\n")

    def character(self, number: int, offset: int) -> int:
        """Characters before a UTF-8 offset in a line."""
        return len(self.line(number).encode()[:offset].decode(errors="ignore"))

    @cached_property
    def program(self) -> bool:
        """Whether the file is a program that trains, not part of a library: it shows what reaches its functions."""
        loops = any(isinstance(n, (ast.For, ast.While)) for n in self.tree.body)
        calls = (n.value for n in self.tree.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call))
        runs = loops or "__main__" in self.text or any(flow.last_name(c.func) in self.functions for c in calls)
        by_hand = ".backward(" in self.text and ".step(" in self.text
        return runs and (by_hand or "def training_step" in self.text)

    @cached_property
    def differentiates(self) -> bool:
        """Whether the file itself calls backward or autograd.grad."""
        return ".backward(" in self.text or "autograd.grad(" in self.text


def _heading(node: ast.AST) -> ast.stmt:
    """A for or with statement without its body: what it binds."""
    if isinstance(node, ast.With):
        return ast.copy_location(ast.With(items=node.items, body=[]), node)
    assert isinstance(node, ast.For)
    return ast.copy_location(ast.For(target=node.target, iter=node.iter, body=[], orelse=[]), node)
