"""Gradients clipped after the step

What it does
------------
Finds `clip_grad_norm_` or `clip_grad_value_` after `optimizer.step()`, with no other clipping between backward and
the step.

Why
---
The step has already used the gradients; what is clipped afterwards is thrown away by `zero_grad`. The run trains as
if nothing were clipped.

Bad
---
    import torch

    def train(model, optimizer, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

Good
----
    import torch

    def train(model, optimizer, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

When it is safe
---------------
Never meant. Where the norm is only wanted for a log, take it before the step with `max_norm=float("inf")`.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.loops import blocks
from whynan.lint.rule import Hit

CODE = "WN601"
NAME = "clip-after-step"
CAUSES = ("clip-after-step", "exploding-gradients")
REMEDIES = ("clip-before-step",)


def check(file: File) -> Iterator[Hit]:
    for block in blocks(file):
        stepped = clipped = False
        for event in block.events:
            if event.kind in ("backward", "zero"):
                stepped = clipped = False
            elif event.kind in ("step", "scaler.step"):
                stepped = not clipped
            elif event.kind == "clip":
                clipped = True
                if stepped and any(e.kind == "backward" for e in block.events):
                    yield Hit(event.node, "The step before this line has already used the gradients unclipped.")
