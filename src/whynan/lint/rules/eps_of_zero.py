"""A normalization with eps = 0

What it does
------------
Finds `eps=0` in LayerNorm, BatchNorm, GroupNorm, InstanceNorm, RMSNorm, F.normalize, F.layer_norm and the like.

Why
---
The eps is what keeps a constant row (variance 0) or a zero vector from being 0 / 0.

Bad
---
    import torch.nn as nn

    norm = nn.LayerNorm(64, eps=0.0)

Good
----
    import torch.nn as nn

    norm = nn.LayerNorm(64, eps=1e-5)

When it is safe
---------------
Where rows cannot be constant, which padding and dead units make hard to promise.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.rule import Hit

CODE = "WN308"
NAME = "eps-of-zero"
CAUSES = ("division-by-zero",)
REMEDIES = ("add-eps",)


NORMS = frozenset(
    "LayerNorm BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm GroupNorm InstanceNorm1d InstanceNorm2d "
    "InstanceNorm3d RMSNorm layer_norm batch_norm group_norm instance_norm rms_norm normalize CosineSimilarity "
    "cosine_similarity".split()
)


def check(file: File) -> Iterator[Hit]:
    for call in file.calls:
        eps = next((k.value for k in call.keywords if k.arg == "eps"), None)
        if isinstance(eps, ast.Constant) and eps.value == 0 and not isinstance(eps.value, bool):
            dotted = file.dotted(call.func) or ""
            if dotted.startswith("torch.") and dotted.split(".")[-1] in NORMS:
                yield Hit(eps, "With eps = 0 a constant row or a zero vector is divided by 0.")
