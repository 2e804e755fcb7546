"""GradScaler without update

What it does
------------
Finds `scaler.step(optimizer)` in a file in which `scaler.update()` is never called.

Why
---
The scale then never changes: after the first overflow every step is skipped in silence, or a second `unscale_`
raises.

Bad
---
    import torch

    def train(model, optimizer, scaler, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            scaler.scale(loss_fn(model(x), y)).backward()
            scaler.step(optimizer)

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
Where `update` is called in another file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.loops import blocks
from whynan.lint.rule import Hit

CODE = "WN606"
NAME = "scaler-never-updated"
CAUSES = ("loss-scaling-misuse",)
REMEDIES = ("other",)


def check(file: File) -> Iterator[Hit]:
    found = [e for block in blocks(file) for e in block.events]
    if any(e.kind == "update" for e in found) or ".update(" in _scaler_lines(file):
        return
    scaled = any(e.kind == "backward" and e.scaled for e in found)
    for event in found:
        if scaled and event.kind == "scaler.step" and isinstance(event.node.func, ast.Attribute):
            yield Hit(event.node, f"`{ast.unparse(event.node.func.value)}.update()` is never called in this file.")


def _scaler_lines(file: File) -> str:
    return "\n".join(line for line in file.text.split("\n") if "scaler" in line.lower())
