"""Errors of a training step are swallowed

What it does
------------
Finds `try:` around backward or step whose `except:` or `except Exception:` only passes or continues.

Why
---
A failure in the middle of a step (an overflow check, out of memory, a shape that does not fit) leaves gradients
half accumulated and optimizers half stepped, and nobody learns of it.

Bad
---
    import torch

    def train(model, optimizer, loader, loss_fn):
        for x, y in loader:
            try:
                optimizer.zero_grad()
                loss_fn(model(x), y).backward()
                optimizer.step()
            except Exception:
                continue

Good
----
    import torch

    def train(model, optimizer, loader, loss_fn):
        for x, y in loader:
            try:
                optimizer.zero_grad()
                loss_fn(model(x), y).backward()
                optimizer.step()
            except torch.cuda.OutOfMemoryError:
                optimizer.zero_grad()

When it is safe
---------------
Where only one foreseen exception is caught, and the gradients are reset.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.loops import event_of
from whynan.lint.rule import Hit

CODE = "WN609"
NAME = "swallowed-step-error"
CAUSES = ("other",)
REMEDIES = ("other",)


def check(file: File) -> Iterator[Hit]:
    for node in file.all(ast.Try):
        assert isinstance(node, ast.Try)
        calls = [c for s in node.body for c in ast.walk(s) if isinstance(c, ast.Call)]
        kinds = {e.kind for c in calls for e in [event_of(file, c)] if e is not None}
        if not kinds & {"backward", "step", "scaler.step"}:
            continue
        for handler in node.handlers:
            if _all_errors(handler) and all(isinstance(s, (ast.Pass, ast.Continue)) for s in handler.body):
                yield Hit(handler, "Any error of the training step disappears here.")


def _all_errors(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException", "RuntimeError")
