"""Writing around an expression: x.clamp(min=e), max(x, e), x + e, without touching its text.

A `Wrap` puts text before and after; several wraps may nest (log(-log(u)) guarded twice) and become insertions that
keep
every character the user wrote. Parentheses that stand there already are used.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from whynan.remedy.edits import Edit
from whynan.remedy.kinds import Kind
from whynan.remedy.source import ATOMS, Source

LOOSE = (ast.Compare, ast.BoolOp, ast.IfExp, ast.Lambda, ast.NamedExpr, ast.Starred, ast.Await)
BITWISE = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)


@dataclass(frozen=True)
class Wrap:
    """Insert `prefix` at byte `start` and `suffix` at byte `end`."""

    start: int
    prefix: str
    end: int
    suffix: str


def to_edits(wraps: Iterable[Wrap]) -> tuple[Edit, ...]:
    """Insertions for wraps that may nest: outer prefixes first, inner suffixes first, one edit a position."""
    unique = set(wraps)
    at: dict[int, list[tuple[tuple[int, int], str]]] = {}
    for w in unique:
        if w.suffix:
            at.setdefault(w.end, []).append(((0, -w.start), w.suffix))
        if w.prefix:
            at.setdefault(w.start, []).append(((1, -w.end), w.prefix))
    return tuple(Edit(p, p, "".join(text for _, text in sorted(parts))) for p, parts in sorted(at.items()))


def outer_span(source: Source, node: ast.AST) -> tuple[int, int]:
    """The span of an expression with its own parentheses, where it has some."""
    start, end = source.span(node)
    if not source.parenthesised(node):
        return start, end
    return source.data.rindex(b"(", 0, start), source.data.index(b")", end) + 1


def call(source: Source, node: ast.AST, function: str, rest: str) -> Wrap:
    """function(x, rest), using parentheses that are there."""
    start, end = source.span(node)
    if source.parenthesised(node):
        return Wrap(outer_span(source, node)[0], function, end, f", {rest}")
    return Wrap(start, f"{function}(", end, f", {rest})")


def method(source: Source, node: ast.AST, text: str) -> Wrap:
    """x.text, in parentheses where x is not one thing."""
    start, end = source.span(node)
    if source.parenthesised(node):
        return Wrap(start, "", outer_span(source, node)[1], text)
    number = isinstance(node, ast.Constant)
    if isinstance(node, ATOMS) and not number and not source.bare_tuple(node):
        return Wrap(start, "", end, text)
    return Wrap(start, "(", end, ")" + text)


def plus(source: Source, node: ast.AST, text: str) -> Wrap:
    """x + text, in parentheses unless it stands alone as an argument or has parentheses."""
    start, end = source.span(node)
    inner = isinstance(node, LOOSE) or (isinstance(node, ast.BinOp) and isinstance(node.op, BITWISE))
    left, right = ("(", ")") if inner else ("", "")
    parent = source.parents.get(node)
    alone = (
        source.parenthesised(node)
        or (isinstance(parent, ast.Call) and any(node is a for a in parent.args))
        or isinstance(parent, (ast.keyword, ast.Assign, ast.Return))
    )
    return Wrap(start, left, end, f"{right} + {text}") if alone else Wrap(start, "(" + left, end, f"{right} + {text})")


def clamp(source: Source, node: ast.AST, kind: Kind, low: str | None = None, high: str | None = None) -> Wrap:
    """x held between low and high (either may be None), spelled for what x is."""
    if kind == "number":
        if low is not None and high is not None:
            start, end = source.span(node)
            return Wrap(start, "min(max(", end, f", {low}), {high})")
        return call(source, node, "max" if low is not None else "min", str(low if low is not None else high))
    if kind == "numpy":
        if low is not None and high is not None:
            return call(source, node, source.spell("numpy.clip"), f"{low}, {high}")
        name = "numpy.maximum" if low is not None else "numpy.minimum"
        return call(source, node, source.spell(name), str(low if low is not None else high))
    if low is not None and high is not None:
        return method(source, node, f".clamp({low}, {high})")
    return method(source, node, f".clamp(min={low})" if low is not None else f".clamp(max={high})")
