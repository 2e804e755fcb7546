"""Gradients set to zero between backward and step

What it does
------------
Finds `zero_grad()` between `backward()` and `step()` of the same optimizer.

Why
---
The step then has no gradients (None or 0): nothing is learned, apart from weight decay and momentum.

Bad
---
    import torch

    def train(model, optimizer, loader, loss_fn):
        for x, y in loader:
            loss_fn(model(x), y).backward()
            optimizer.zero_grad()
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
Never meant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.loops import Event, blocks
from whynan.lint.rule import Hit

CODE = "WN608"
NAME = "zero-grad-before-step"
CAUSES = ("missing-zero-grad",)
REMEDIES = ("zero-grad",)


def check(file: File) -> Iterator[Hit]:
    for block in blocks(file):
        zeroed: dict[str, Event] = {}
        any_backward = False
        for event in block.events:
            if event.kind == "backward":
                any_backward, zeroed = True, {}
            elif event.kind == "zero" and any_backward:
                zeroed[event.what] = event
            elif event.kind in ("step", "scaler.step"):
                if event.what in zeroed and any_backward and "closure" not in ast.unparse(event.node):
                    yield Hit(zeroed[event.what].node, f"`{event.what}` steps after this without gradients.")
                any_backward = False
