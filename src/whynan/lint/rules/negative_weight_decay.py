"""Negative weight decay

What it does
------------
Finds optimizers made with a negative `weight_decay`, where torch does not refuse it.

Why
---
It makes weights grow exponentially.

Bad
---
    import torch

    def make(model):
        return torch.optim.Adam([{"params": model.parameters(), "weight_decay": -1e-4}], lr=1e-3)

Good
----
    import torch

    def make(model):
        return torch.optim.Adam([{"params": model.parameters(), "weight_decay": 1e-4}], lr=1e-3)

When it is safe
---------------
Never meant. The constructors of torch raise for a negative default, but not for the entries of parameter groups.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.optimizers import constructions, option
from whynan.lint.rule import Hit

CODE = "WN613"
NAME = "negative-weight-decay"
CAUSES = ("negative-weight-decay",)
REMEDIES = ("other",)


def check(file: File) -> Iterator[Hit]:
    for name, call in constructions(file):
        for value in (option(call, "weight_decay"), *_of_groups(call)):
            if (
                isinstance(value, ast.UnaryOp)
                and isinstance(value.op, ast.USub)
                and isinstance(value.operand, ast.Constant)
            ):
                yield Hit(value, f"{name} with a negative weight decay makes weights grow exponentially.")


def _of_groups(call: ast.Call) -> Iterator[ast.expr]:
    for node in ast.walk(call):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                if isinstance(key, ast.Constant) and key.value == "weight_decay":
                    yield value
