"""Scaled loss, plain optimizer step

What it does
------------
Finds `scaler.scale(loss).backward()` followed by `optimizer.step()` instead of `scaler.step(optimizer)`.

Why
---
The optimizer then sees gradients multiplied by the scale (65536 at first), never divided, and steps whose gradients
overflowed are not skipped: inf goes straight into the weights.

Bad
---
    import torch

    def train(model, optimizer, scaler, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            scaler.scale(loss_fn(model(x), y)).backward()
            optimizer.step()

Good
----
    import torch

    def train(model, optimizer, scaler, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            scaler.scale(loss_fn(model(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()

When it is safe
---------------
Where `scaler.unscale_` was called and overflow is handled by hand.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.loops import blocks
from whynan.lint.rule import Hit

CODE = "WN605"
NAME = "step-without-scaler"
CAUSES = ("loss-scaling-misuse",)
REMEDIES = ("other", "bfloat16")


def check(file: File) -> Iterator[Hit]:
    for block in blocks(file):
        scaled = False
        for event in block.events:
            if event.kind == "backward":
                scaled = event.scaled
            elif event.kind in ("unscale", "scaler.step"):
                scaled = False
            elif event.kind == "step" and scaled:
                yield Hit(event.node, f"The gradients are multiplied by the loss scale: scaler.step({event.what}).")
                scaled = False
