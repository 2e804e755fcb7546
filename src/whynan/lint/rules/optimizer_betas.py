"""Decay rate of 1

What it does
------------
Finds Adam and its relatives with a beta of 1 or more, and RMSprop or SGD with alpha or momentum of 1 or more.

Why
---
With beta 1 the bias correction 1 - beta ** t is 0 and the update 0 / 0; with momentum 1 nothing is ever forgotten
and the velocity grows without bound.

Bad
---
    import torch

    def make(model):
        return torch.optim.SGD(model.parameters(), lr=0.1, momentum=1.0)

Good
----
    import torch

    def make(model):
        return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

When it is safe
---------------
Never meant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.optimizers import constructions, option
from whynan.lint.rule import Hit

CODE = "WN612"
NAME = "optimizer-betas"
CAUSES = ("optimizer-betas",)
REMEDIES = ("change-optimizer", "clamp")


def check(file: File) -> Iterator[Hit]:
    for name, call in constructions(file):
        betas = option(call, "betas")
        rates = betas.elts if isinstance(betas, ast.Tuple) else []
        for rate in (*rates, option(call, "momentum"), option(call, "alpha") if name == "RMSprop" else None):
            if isinstance(rate, ast.Constant) and isinstance(rate.value, (int, float)) and rate.value >= 1:
                yield Hit(rate, f"{name} with a decay rate of {rate.value}: nothing is ever forgotten, or 0 / 0.")
