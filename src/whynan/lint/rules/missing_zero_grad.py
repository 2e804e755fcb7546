"""Gradients are never set to zero

What it does
------------
Finds a training loop with `backward()` and `optimizer.step()` in which nothing resets the gradients.

Why
---
`backward` adds to the gradients that are there. Without `zero_grad` every step uses the sum of all gradients since
the beginning: the steps grow without bound.

Bad
---
    import torch

    def train(model, optimizer, loader, loss_fn):
        for x, y in loader:
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()

Good
----
    import torch

    def train(model, optimizer, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()

When it is safe
---------------
Where gradients are computed anew by `torch.autograd.grad` and assigned, or reset by a hook or another function.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.calls import in_loop
from whynan.lint.file import File
from whynan.lint.loops import Block, blocks, text_around
from whynan.lint.optimizers import NAMES
from whynan.lint.rule import Hit
from whynan.remedy import flow

CODE = "WN603"
NAME = "missing-zero-grad"
CAUSES = ("missing-zero-grad", "exploding-gradients")
REMEDIES = ("zero-grad",)


RESETS = (
    "zero_grad",
    "zero_gradients",
    ".grad = None",
    ".grad=None",
    ".grad.zero_",
    ".grad.data.zero_",
    "grad.detach_",
    "clear_grad",
)


def check(file: File) -> Iterator[Hit]:
    for block in blocks(file):
        if _repeated(file, block.owner) and any(e.kind == "backward" for e in block.events):
            steps = [e for e in block.events if e.kind in ("step", "scaler.step")]
            if steps and not _resets(file, block):
                yield Hit(steps[0].node, "Nothing sets the gradients to zero: every step uses the sum of all so far.")


def _repeated(file: File, owner: ast.AST) -> bool:
    """A loop, or a function that is called in loops none of which resets gradients."""
    if isinstance(owner, (ast.For, ast.While)):
        return True
    calls = in_loop(file, owner)
    return bool(calls) and not any(word in text_around(file, call) for call in calls for word in RESETS)


def _resets(file: File, block: Block) -> bool:
    """Whether the function, or a function of this file that it calls, resets gradients."""
    text = text_around(file, block.events[0].node)
    if any(word in text for word in RESETS):
        return True
    makes = {flow.last_name(n.func) for n in ast.walk(block.owner) if isinstance(n, ast.Call)} & NAMES
    if makes:  # an optimizer made anew in the loop has new tensors, too
        return True
    called = {flow.last_name(n.func) for n in ast.walk(block.owner) if isinstance(n, ast.Call)}
    bodies = (file.segment(f) for name in called if name for f in file.functions.get(name, ()))
    return any(word in body for body in bodies for word in RESETS)
