"""The tools of a rewriting rule: look through variables, carry the text of a part to where it is needed, spell a
function.

A rule matches a `Form` (the root) and answers with the text to put in its place. A part that stands in an earlier
statement can be written again only if it is cheap and means the same there; otherwise it is hoisted: it gets a name
in
front of that statement, and both places use the name. `model(x)` is thus never called twice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from whynan.remedy import flow
from whynan.remedy.edits import Edit
from whynan.remedy.form import SELECTING, Form, form
from whynan.remedy.source import ATOMS, Source

Build = Callable[[str], str]
SMALL = 0.02
"""A constant below this added to a probability or a norm is an eps somebody put there against the very failure."""
IN_TORCH = frozenset("softmax log_softmax logsumexp sigmoid logaddexp log1p expm1 tanh amax xlogy special".split())
CHEAP = SELECTING | frozenset("neg abs exp log clamp sum mean mul div add sub float size eq ne item mT double".split())


def tightened(text: str) -> str:
    """An expression as text, in parentheses where a method call or subscript after it would bind to a part."""
    node = ast.parse(text, mode="eval").body
    number = isinstance(node, ast.Constant) and isinstance(node.value, (int, float))
    return text if isinstance(node, ATOMS) and not number else f"({text})"


class Match:
    """One attempt at rewriting `root`. `edits` collects what must be done elsewhere (hoisted parts)."""

    def __init__(self, source: Source, root: Form) -> None:
        self.source, self.root = source, root
        self.edits: list[Edit] = []
        self._hoisted: dict[ast.AST, str] = {}

    # -- looking -----------------------------------------------------------------------------------------------------
    def hop(self, f: Form) -> Form | None:
        """What a local name was assigned, in the same function as the root; None for anything else."""
        if f.op != "name" or not isinstance(f.node, ast.Name):
            return None
        value = flow.definition(self.source, f.node)
        if value is None or self.source.scope(value) is not self.source.scope(self.root.node):
            return None
        return form(self.source, value)

    def see(self, f: Form) -> Form:
        for _ in range(6):
            behind = self.hop(f)
            if behind is None:
                return f
            f = behind
        return f

    def bare(self, f: Form) -> Form:
        """Without an eps that was added or a clamp: log(p + 1e-8) means log(p)."""
        f = self.see(f)
        for _ in range(4):
            if f.op == "add" and len(f.args) == 2:
                sizes = [a.number for a in f.args]
                if sizes[1] is not None and abs(sizes[1]) <= SMALL or self._eps_name(f.args[1]):
                    f = self.see(f.args[0])
                elif sizes[0] is not None and abs(sizes[0]) <= SMALL or self._eps_name(f.args[0]):
                    f = self.see(f.args[1])
                else:
                    return f
            elif f.op == "clamp" and f.args:
                f = self.see(f.args[0])
            else:
                return f
        return f

    def _eps_name(self, f: Form) -> bool:
        return (
            f.op == "name" and re.search(r"(^|[._])(eps|epsilon|tiny|smooth(ing)?)\d*$", str(f.value), re.I) is not None
        )

    def peel(self, f: Form, test: Callable[[Form], object]) -> tuple[Form, Build] | None:
        """The form that `test` accepts behind names and selections, and how to write the selections around a new
        text."""
        f = self.bare(f)
        if test(f):
            return f, lambda text: text
        if f.op not in SELECTING or not f.args:
            return None
        inner = self.peel(f.args[0], test)
        if inner is None:
            return None
        core, build = inner
        whole, (start, end) = self.source.span(f.node), self.source.span(f.args[0].node)
        left = self.source.data[whole[0] : start].decode()
        right = self.source.data[end : whole[1]].decode()
        if not self.reaches(f.node) and not self._rest_unchanged(f):
            return None
        receiver = right.lstrip().startswith((".", "["))
        return core, lambda text: left + (tightened(build(text)) if receiver else build(text)) + right

    def _rest_unchanged(self, f: Form) -> bool:
        parts = [
            n for n in ast.iter_child_nodes(f.node) if n is not f.args[0].node and not isinstance(n, ast.expr_context)
        ]
        return all(flow.unchanged(self.source, n, f.node, self.root.node) for n in parts if hasattr(n, "lineno"))

    # -- writing -----------------------------------------------------------------------------------------------------
    def reaches(self, node: ast.AST) -> bool:
        """Whether a node is part of the root's own text."""
        start, end = self.source.span(self.root.node)
        a, b = self.source.span(node)
        return start <= a and b <= end

    def text(self, f: Form) -> str:
        """The text of a part, valid at the root."""
        if f.node in self._hoisted:
            return self._hoisted[f.node]
        segment = self.source.segment(f.node)
        if self.reaches(f.node) or (self.cheap(f.node) and flow.unchanged(self.source, f.node, f.node, self.root.node)):
            return segment
        return self.hoist(f)

    def tight(self, f: Form) -> str:
        """The same, in parentheses if an operator or method call follows."""
        text = self.text(f)
        return text if f.node in self._hoisted else self.source.atom(f.node)

    def hoist(self, f: Form) -> str:
        """Give a part a name in front of its statement."""
        statement = self.source.statement(f.node)
        name = self._fresh("logits" if f.op not in ("sub", "square") else "inner")
        segment = self.source.segment(f.node)
        line = f"{name} = ({segment})" if "\n" in segment else f"{name} = {segment}"
        before = self.source.insert_before(statement, line)
        if before is None:
            raise ValueError("the statement shares its line")
        self.edits += [before, self.source.replace(f.node, name)]
        self._hoisted[f.node] = name
        return name

    def _fresh(self, name: str) -> str:
        taken = set(re.findall(r"\w+", self.source.text)) | set(self._hoisted.values())
        return next(n for n in (name, *(f"{name}_{i}" for i in range(2, 99))) if n not in taken)

    def cheap(self, node: ast.AST) -> bool:
        for call in ast.walk(node):
            if isinstance(call, ast.Call):
                f = form(self.source, call)
                if not (f.lib in ("torch", "numpy") or (f.lib == "method" and f.op in CHEAP)):
                    return False
        return True

    def call(self, name: str, *args: str | None, **kw: str | None) -> str:
        """A torch function by its short name, in the spelling this file uses: F.logsigmoid(z), torch.logsumexp(z,
        dim=1)."""
        functional = "torch.nn.functional." + name
        if name in IN_TORCH and not any(a == "torch.nn.functional" for a in self.source.aliases.values()):
            functional = "torch." + name
        if name in ("logsumexp", "tanh", "sigmoid", "linalg.vector_norm", "xlogy"):
            functional = "torch." + name
        self.edits += self.source.importing(functional)
        parts = [a for a in args if a] + [f"{k}={v}" for k, v in kw.items() if v]
        return f"{self.source.spell(functional)}({', '.join(parts)})"

    def option(self, f: Form, index: int, name: str) -> str | None:
        """The text of an option of a call, given by position or by name."""
        value = f.kw.get(name) or f.arg(index)
        return self.source.segment(value.node) if value is not None else None
