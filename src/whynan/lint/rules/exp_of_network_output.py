"""exp of an unbounded network output

What it does
------------
Finds `exp(self.linear(x))`: the exponential of what a linear or convolutional layer gives, as for rates, scales and
standard deviations.

Why
---
exp overflows at 88.7 in float32 (11.1 in float16). The output of a layer has no bound: one unusual input, or one
large update, is enough for inf, and inf in the loss writes NaN into every weight.

Bad
---
    import torch
    import torch.nn as nn

    class Rate(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(16, 1)

        def forward(self, x):
            return torch.exp(self.head(x))

Good
----
    import torch
    import torch.nn as nn

    class Rate(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(16, 1)

        def forward(self, x):
            return torch.exp(self.head(x).clamp(max=20))

When it is safe
---------------
Where the argument is bounded: a clamp, tanh, or `softplus` in place of exp.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import switched_off
from whynan.lint.guarded import guarded
from whynan.lint.layers import layer_behind
from whynan.lint.parts import TENSORS, short
from whynan.lint.rule import Hit

CODE = "WN401"
NAME = "exp-of-network-output"
CAUSES = ("exp-overflow",)
REMEDIES = ("clamp", "stable-formulation")


def _inference(file: File, node: ast.AST) -> bool:
    """Under no_grad, or in a branch `if not self.training`."""
    branches = [a for a in file.ancestors(node) if isinstance(a, ast.If)]
    return switched_off(file, node) or any(ast.unparse(b.test) == "not self.training" for b in branches)


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("exp"):
        if f.lib in TENSORS and f.args and not guarded(file, f.node) and not _inference(file, f.node):
            layer = layer_behind(file, f.args[0])
            if layer is not None:
                yield Hit(f.node, f"{short(file, layer)} has no upper bound; exp of it overflows at 88.7 (float32).")
