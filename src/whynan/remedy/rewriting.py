"""Rules from a formula that loses range or precision to one that does not: log(softmax(x)) -> log_softmax(x).

The rules are in `rules/`, one file a family. Every rule keeps the value where both forms are finite
(tests/remedy/test_rewriting.py evaluates both sides on random
inputs, and `same_where_finite` does it on recorded ones). A rule takes a `Match` and returns (text, title) or None.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from whynan.remedy.edits import Edit
from whynan.remedy.form import Form, form
from whynan.remedy.match import Match
from whynan.remedy.source import Source

Answer = tuple[str, str]
Rule = Callable[[Match], Answer | None]
RULES: list[Rule] = []


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A rule that fits: what to put in place of `root`, and what else to edit."""

    root: Form
    text: str
    title: str
    edits: tuple[Edit, ...]


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def rewrites(source: Source, node: ast.expr) -> Iterable[Rewrite]:
    """The rules that fit an expression."""
    from whynan.remedy import rules  # registers them; they import this module

    rules.load()
    root = form(source, node)
    if root.lib in ("numpy", "math", "scipy"):
        return
    for one in RULES:
        match = Match(source, root)
        try:
            answer = one(match)
        except ValueError:
            continue
        if answer:
            text, title = answer
            yield Rewrite(root, text, title, (_put(source, node, text), *match.edits))


def _put(source: Source, node: ast.expr, text: str) -> Edit:
    """The text in the place of the expression; a minus before both is no minus."""
    parent = source.parents.get(node)
    twice = text.startswith("-") and isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub)
    if parent is not None and twice and isinstance(ast.parse(text[1:], mode="eval").body, ast.Call):
        return source.replace(parent, text[1:])
    return source.replace(node, text)


def same_where_finite(before: Callable[..., Any], after: Callable[..., Any], inputs: Iterable[tuple[Any, ...]]) -> bool:
    """Run both forms on inputs: equal wherever both are finite, `after` finite wherever `before` is, and finite
    somewhere."""
    import torch

    any_finite = False
    for args in inputs:
        a, b = torch.as_tensor(before(*args)), torch.as_tensor(after(*args))
        if a.shape != b.shape:
            return False
        fine, also = torch.isfinite(a), torch.isfinite(b)
        if bool((fine & ~also).any()) or not torch.allclose(a[fine & also], b[fine & also], rtol=1e-3, atol=1e-4):
            return False
        any_finite = any_finite or bool(also.any())
    return any_finite
