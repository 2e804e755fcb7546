"""What a patch leaves behind is part of the patch: a variable that nothing uses any more goes with its last use."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import replace

from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit, apply_edits
from whynan.remedy.form import form
from whynan.remedy.source import FUNCTIONS, Source

ROUNDS = 4
"""A chain of variables, each used by the next only."""
IMPURE = ("dropout", "rand", "normal", "bernoulli", "multinomial", "poisson")


def tidied(candidate: Candidate) -> Candidate:
    """Without assignments of pure expressions that the patch made useless (pyflakes: F841)."""
    if not _takes_names_away(candidate):
        return candidate
    before = {_key(f): _loads(f) for f in _functions(candidate.source)}
    text = candidate.after
    for _ in range(ROUNDS):
        try:
            source = Source(text, candidate.source.path)
        except (SyntaxError, ValueError):
            return candidate
        removals = [e for f in _functions(source) for e in _useless(source, f, before.get(_key(f), set()))]
        if not removals:
            break
        text = apply_edits(text, removals)
    if text == candidate.after:
        return candidate
    return replace(candidate, edits=tuple(_line_edits(candidate.source.text, text)))


def _takes_names_away(candidate: Candidate) -> bool:
    data = candidate.source.data
    return any(e.end > e.start and data[e.start : e.end].decode().strip() not in e.text for e in candidate.edits)


def _functions(source: Source) -> list[ast.AST]:
    return [n for n in ast.walk(source.tree) if isinstance(n, FUNCTIONS)]


def _key(function: ast.AST) -> str:
    return function.name  # type: ignore[attr-defined]


def _loads(function: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, (ast.Load, ast.Del))}


def _useless(source: Source, function: ast.AST, used_before: set[str]) -> Iterator[Edit]:
    used = _loads(function)
    nodes = source.own_nodes(function)
    shared = {name for n in nodes if isinstance(n, (ast.Global, ast.Nonlocal)) for name in n.names}
    for statement in nodes:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1 or not source.alone(statement):
            continue
        target = statement.targets[0]
        if not isinstance(target, ast.Name) or target.id in used | shared or target.id not in used_before:
            continue
        block = getattr(source.parents[statement], "body", [])
        if len(block) > 1 and _is_pure(source, statement.value):
            yield Edit(source.starts[statement.lineno - 1], source.starts_after(statement), "")


def _is_pure(source: Source, value: ast.expr) -> bool:
    """Nothing but arithmetic and functions of torch, numpy and math that return a value and draw nothing."""
    for node in ast.walk(value):
        if isinstance(node, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)):
            return False
        if isinstance(node, ast.Call):
            f = form(source, node)
            if f.lib not in ("torch", "method", "numpy", "math") or f.op.endswith("_") or f.op.startswith(IMPURE):
                return False
    return True


def _line_edits(before: str, after: str) -> Iterator[Edit]:
    """The edits, line by line, that make `after` of `before`."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    starts = [0]
    for line in old:
        starts.append(starts[-1] + len(line.encode()))
    for tag, i, j, k, n in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield Edit(starts[i], starts[j], "".join(new[k:n]))
