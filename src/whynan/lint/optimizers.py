"""Optimizers as they are made: torch.optim.Adam(model.parameters(), lr=...)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File

DIVIDING = frozenset("Adam AdamW Adamax NAdam RAdam RMSprop Adagrad Adadelta SparseAdam".split())
NAMES = DIVIDING | frozenset("SGD ASGD LBFGS Rprop Adafactor Muon".split())


def constructions(file: File) -> Iterator[tuple[str, ast.Call]]:
    """(name, call) of every optimizer of torch.optim made in a file."""
    for call in file.calls:
        dotted = file.dotted(call.func) or ""
        name = dotted.split(".")[-1]
        if dotted.startswith("torch.optim.") and name in NAMES:
            yield name, call


def option(call: ast.Call, name: str) -> ast.expr | None:
    """The value of an option given by name."""
    return next((k.value for k in call.keywords if k.arg == name), None)
