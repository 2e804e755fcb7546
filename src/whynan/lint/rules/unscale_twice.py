"""Gradients unscaled twice

What it does
------------
Finds `scaler.unscale_(optimizer)` twice for the same optimizer with no `scaler.update()` in between.

Why
---
The second call raises a RuntimeError.

Bad
---
    import torch

    def train(model, optimizer, scaler, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            scaler.scale(loss_fn(model(x), y)).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()

Good
----
    import torch

    def train(model, optimizer, scaler, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            scaler.scale(loss_fn(model(x), y)).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()

When it is safe
---------------
Never meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.loops import blocks
from whynan.lint.rule import Hit

CODE = "WN607"
NAME = "unscale-twice"
CAUSES = ("loss-scaling-misuse",)
REMEDIES = ("other",)


def check(file: File) -> Iterator[Hit]:
    for block in blocks(file):
        done: set[str] = set()
        for event in block.events:
            if event.kind == "update":
                done.clear()
            elif event.kind == "unscale":
                if event.what in done:
                    yield Hit(event.node, f"The gradients of `{event.what}` are unscaled already; this raises.")
                done.add(event.what)
