"""Scaled gradients clipped

What it does
------------
Finds clipping between `scaler.scale(loss).backward()` and `scaler.step(optimizer)` without
`scaler.unscale_(optimizer)` before.

Why
---
The gradients are still multiplied by the scale, 65536 at first: a limit of 1.0 is then one of 1.5e-5, and every
step is almost nothing.

Bad
---
    import torch

    def train(model, optimizer, scaler, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            scaler.scale(loss_fn(model(x), y)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
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
Where the limit is multiplied by the scale as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.loops import Block, blocks, text_around
from whynan.lint.rule import Hit

CODE = "WN602"
NAME = "clip-before-unscale"
CAUSES = ("missing-unscale",)
REMEDIES = ("unscale-before-clip",)


def check(file: File) -> Iterator[Hit]:
    for block in blocks(file):
        unscaled = False
        for at, event in enumerate(block.events):
            if event.kind == "backward":
                unscaled = False
            elif event.kind == "unscale":
                unscaled = True
            elif event.kind == "clip" and not unscaled and "scale" not in _limit(event.node):
                later = [e.kind for e in block.events[at + 1 :]]
                scaled = any(e.kind == "backward" and e.scaled for e in block.events[:at])
                if scaled and "scaler.step" in later and "unscale" not in text_of(file, block):
                    yield Hit(event.node, "The gradients are still multiplied by the loss scale: unscale_ them first.")


def _limit(call: ast.Call) -> str:
    return " ".join(ast.unparse(a) for a in (*call.args[1:], *[k.value for k in call.keywords]))


def text_of(file: File, block: Block) -> str:
    return text_around(file, block.events[0].node)
