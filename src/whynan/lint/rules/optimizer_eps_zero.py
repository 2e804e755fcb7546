"""Optimizer with eps = 0

What it does
------------
Finds Adam, AdamW, RMSprop and others made with `eps=0`.

Why
---
The update divides by the root of the second moment plus eps. A parameter whose gradient is exactly 0 (a dead unit,
an unused embedding row) has second moment 0, and 0 / 0 is NaN at its first step.

Bad
---
    import torch

    def make(model):
        return torch.optim.Adam(model.parameters(), lr=1e-3, eps=0)

Good
----
    import torch

    def make(model):
        return torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-8)

When it is safe
---------------
Never.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.optimizers import constructions, option
from whynan.lint.rule import Hit

CODE = "WN611"
NAME = "optimizer-eps-zero"
CAUSES = ("optimizer-eps-zero",)
REMEDIES = ("raise-optimizer-eps",)


def check(file: File) -> Iterator[Hit]:
    for name, call in (*constructions(file), *_settings(file)):
        eps = option(call, "eps")
        if isinstance(eps, ast.Constant) and eps.value == 0 and not isinstance(eps.value, bool):
            yield Hit(eps, f"With eps = 0 {name} divides 0 by 0 for every gradient that is exactly 0.")


def _settings(file: File) -> Iterator[tuple[str, ast.Call]]:
    """Calls that hand settings on to an optimizer: fit(model, lr=1e-3, eps=0), dict(lr=1e-3, eps=0)."""
    for call in file.calls:
        given = {k.arg for k in call.keywords}
        if {"lr", "eps"} <= given and not (file.dotted(call.func) or "").startswith("torch.optim."):
            yield "the optimizer", call
