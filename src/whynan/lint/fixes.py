"""The patches of `--fix`: the rewriting rules of the remedies (stable formulations), as `whynan run` proposes them.

A rewriting rule keeps the value wherever the old form was finite, keeps every character outside of the expression, and
answers nothing where it is not sure. A patch that would not parse is not made.
"""

from __future__ import annotations

import ast

from whynan.lint.file import File
from whynan.remedy import rules
from whynan.remedy.edits import Edit, PatchError, apply_edits
from whynan.remedy.form import form
from whynan.remedy.match import Match
from whynan.remedy.rewriting import RULES


def edits_for(file: File, node: ast.AST, names: tuple[str, ...]) -> tuple[Edit, ...]:
    """The edits of the first rewriting rule among `names` that fits the expression; () where none does."""
    rules.load()
    if not isinstance(node, ast.expr):
        return ()
    root = form(file, node)
    if root.lib in ("numpy", "math", "scipy"):
        return ()
    for rule in RULES:
        if rule.__name__ not in names:
            continue
        match = Match(file, root)
        try:
            answer = rule(match)
        except (ValueError, SyntaxError):  # a part that does not parse on its own
            continue
        if answer:
            return (file.replace(node, answer[0]), *match.edits)
    return ()


def possible(file: File, node: ast.AST, names: tuple[str, ...]) -> bool:
    """Whether there is a patch, and the file parses with it."""
    edits = edits_for(file, node, names)
    return bool(edits) and _parses(file.text, edits)


def _parses(text: str, edits: tuple[Edit, ...]) -> bool:
    try:
        ast.parse(apply_edits(text, edits).removeprefix("\ufeff"))
    except (SyntaxError, ValueError, PatchError):
        return False
    return True


def apply(text: str, path: str, places: list[tuple[ast.AST, tuple[str, ...]]]) -> str:
    """The text with as many patches made as do not touch each other; `places` are nodes of a parse of this text."""
    file = File(text, path, rel=path)
    chosen: list[Edit] = []
    for old, names in places:
        node = _again(file, old)
        edits = edits_for(file, node, names) if node is not None else ()
        apart = all(e.end <= c.start or c.end <= e.start for e in edits for c in chosen if e != c)
        if edits and apart and _parses(text, (*chosen, *edits)):
            chosen += [e for e in edits if e not in chosen]
    return apply_edits(text, chosen) if chosen else text


def _again(file: File, old: ast.AST) -> ast.AST | None:
    """The node of this parse that stands where `old` stood in another one of the same text."""
    where = ("lineno", "col_offset", "end_lineno", "end_col_offset")
    place = [getattr(old, name) for name in where]
    return next((n for n in file.all(type(old)) if [getattr(n, name) for name in where] == place), None)
