"""One file of the user's source: text, syntax tree, positions, names, and what an assignment says about a name.

Positions of `ast` are UTF-8 columns in a line; here they become byte offsets in the whole text, which is what an
`Edit`
takes. Definitions are looked up by a simple rule that prefers silence to a wrong answer: the last assignment before
the
use, in the same block or one that encloses it, with no other assignment to the name in between.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from whynan.remedy.edits import Edit, read_text

ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.Dict)
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Module | ast.Lambda
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
TORCH = ("torch", "torch.nn", "torch.nn.functional", "torch.optim", "numpy", "math")


class Source:
    """A parsed file. `path` is where it lies, `rel` the name used in diffs (relative, forward slashes)."""

    def __init__(self, text: str, path: str | Path = "train.py", rel: str | None = None) -> None:
        self.text, self.path = text, Path(path)
        self.rel = rel or self.path.name
        self.data = text.encode()
        self.bom = 3 if text.startswith("\ufeff") else 0
        self.tree = ast.parse(text.removeprefix("\ufeff"))

    @classmethod
    def read(cls, path: str | Path, rel: str | None = None) -> Source:
        """Parse a file. OSError, SyntaxError and UnicodeDecodeError are the caller's."""
        return cls(read_text(Path(path))[0], path, rel)

    # -- positions ---------------------------------------------------------------------------------------------------
    @cached_property
    def starts(self) -> list[int]:
        return [0] + [m.end() for m in re.finditer(rb"\r\n|\r|\n", self.data)]

    @cached_property
    def newline(self) -> str:
        return "\r\n" if b"\r\n" in self.data else "\n"

    def offset(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column + (self.bom if line == 1 else 0)

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Byte range of an expression or statement."""
        return (
            self.offset(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self.offset(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def starts_after(self, node: ast.AST) -> int:
        """Where the line after the last line of a node begins."""
        last = node.end_lineno  # type: ignore[attr-defined]
        return self.starts[last] if last < len(self.starts) else len(self.data)

    def segment(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.data[start:end].decode()

    def atom(self, node: ast.AST) -> str:
        """The text of an expression, in parentheses where a method call or an operator would otherwise bind to a
        part."""
        text = self.segment(node)
        number = isinstance(node, ast.Constant) and isinstance(node.value, (int, float))
        return text if isinstance(node, ATOMS) and not number and not self.bare_tuple(node) else f"({text})"

    def bare_tuple(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Tuple) and not self.segment(node).startswith("(")

    def parenthesised(self, node: ast.AST) -> bool:
        """Whether the expression stands between its own parentheses already."""
        start, end = self.span(node)
        before, after = self.data[:start].rstrip(), self.data[end:].lstrip()
        if not (before.endswith(b"(") and after.startswith(b")")):
            return False
        called = re.search(rb"(\w+|[\])])\s*\($", before)
        return called is None or keyword.iskeyword(called.group(1).decode())

    # -- edits -------------------------------------------------------------------------------------------------------
    def replace(self, node: ast.AST, text: str) -> Edit:
        return Edit(*self.span(node), text)

    def indent(self, statement: ast.AST) -> str:
        line = self.data[self.starts[statement.lineno - 1] :]  # type: ignore[attr-defined]
        return re.match(rb"[ \t\f]*", line.removeprefix(b"\xef\xbb\xbf")).group().decode()  # type: ignore[union-attr]

    def alone(self, statement: ast.stmt) -> bool:
        """Whether the statement starts its line and ends its last one (no `a; b`, no `if x: a`)."""
        start, end = self.span(statement)
        before = self.data[self.starts[statement.lineno - 1] : start]
        tail = self.data[end:].split(b"\n", 1)[0].strip()
        return not before.removeprefix(b"\xef\xbb\xbf").strip() and (not tail or tail.startswith(b"#"))

    def insert_before(self, statement: ast.stmt, *lines: str) -> Edit | None:
        """New lines before a statement, indented as it is. None where the statement shares its line."""
        if not self.alone(statement):
            return None
        decorators = getattr(statement, "decorator_list", None)
        first = min([statement.lineno, *(d.lineno for d in decorators or [])])
        indent, at = self.indent(statement), self.starts[first - 1] + (self.bom if first == 1 else 0)
        return Edit(at, at, "".join(f"{indent}{line}{self.newline}" for line in lines))

    def insert_after(self, statement: ast.stmt, *lines: str) -> Edit | None:
        """New lines after a statement, indented as it is; right at a missing newline at the end of the file."""
        if not self.alone(statement):
            return None
        indent, last = self.indent(statement), statement.end_lineno or statement.lineno
        if last < len(self.starts):
            at = self.starts[last]
            return Edit(at, at, "".join(f"{indent}{line}{self.newline}" for line in lines))
        return Edit(len(self.data), len(self.data), "".join(f"{self.newline}{indent}{line}" for line in lines))

    # -- the tree ----------------------------------------------------------------------------------------------------
    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        while (up := self.parents.get(node)) is not None:
            yield up
            node = up

    def statement(self, node: ast.AST) -> ast.stmt:
        if isinstance(node, ast.stmt):
            return node
        return next(a for a in self.ancestors(node) if isinstance(a, ast.stmt))

    def function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        return next((a for a in self.ancestors(node) if isinstance(a, FUNCTIONS)), None)

    def scope(self, node: ast.AST) -> ast.AST:
        return self.function(node) or self.tree

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        return next((a for a in self.ancestors(node) if isinstance(a, ast.ClassDef)), None)

    def own_nodes(self, scope: ast.AST) -> list[ast.AST]:
        """Nodes of a function or module without those of functions inside it, in source order."""
        out: list[ast.AST] = []
        stack = list(reversed(list(ast.iter_child_nodes(scope))))
        while stack:
            node = stack.pop()
            out.append(node)
            if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                stack += reversed(list(ast.iter_child_nodes(node)))
        return out

    @cached_property
    def functions(self) -> dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]]:
        out: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, FUNCTIONS):
                out.setdefault(node.name, []).append(node)
        return out

    @cached_property
    def calls(self) -> list[ast.Call]:
        found = [n for n in ast.walk(self.tree) if isinstance(n, ast.Call)]
        return sorted(found, key=lambda n: (n.lineno, n.col_offset, -(n.end_lineno or 0), -(n.end_col_offset or 0)))

    # -- names -------------------------------------------------------------------------------------------------------
    @cached_property
    def aliases(self) -> dict[str, str]:
        """Name in this file -> dotted name, from the imports: {"F": "torch.nn.functional", "log": "torch.log"}."""
        out: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for item in node.names:
                    out[item.asname or item.name.split(".")[0]] = item.name if item.asname else item.name.split(".")[0]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for item in node.names:
                    out[item.asname or item.name] = f"{node.module}.{item.name}"
        return out

    def dotted(self, node: ast.AST) -> str | None:
        """The full name of `F.log_softmax` as imported, "torch.nn.functional.log_softmax"; None for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.aliases:
            return None
        return ".".join([self.aliases[node.id], *reversed(parts)])

    def spell(self, dotted: str) -> str:
        """How this file may write a library name, with the imports it has: "F.softplus" for
        torch.nn.functional.softplus."""
        best: str | None = None
        for alias, name in self.aliases.items():
            if dotted == name or dotted.startswith(name + "."):
                text = alias + dotted[len(name) :]
                best = text if best is None or len(text) < len(best) else best
        return best or dotted

    def importing(self, dotted: str) -> list[Edit]:
        """The edit that makes `spell(dotted)` valid, none where an import serves already."""
        root = dotted.split(".")[0]
        if any(name == root or dotted.startswith(name + ".") or dotted == name for name in self.aliases.values()):
            return []
        imports = [n for n in self.tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
        plain = [n for n in imports if not (isinstance(n, ast.ImportFrom) and n.module == "__future__")]
        edit = self.insert_before(plain[0], f"import {root}") if plain else None
        if edit is None and imports:
            edit = self.insert_after(imports[-1], f"import {root}")
        return [edit] if edit else []
