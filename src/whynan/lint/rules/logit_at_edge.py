"""logit without eps of something that reaches 0 or 1

What it does
------------
Finds `torch.logit(p)` without `eps` where the code shows that p reaches 0 or 1: a sigmoid, a softmax, a clamp to
[0, 1].

Why
---
logit(0) is -inf and logit(1) is inf.

Bad
---
    import torch

    def recalibrate(x):
        p = torch.sigmoid(x)
        return torch.logit(p)

Good
----
    import torch

    def recalibrate(x):
        p = torch.sigmoid(x)
        return torch.logit(p, eps=1e-6)

When it is safe
---------------
With `eps`, which clamps p first; or with the value from before the sigmoid.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.parts import short
from whynan.lint.rule import Hit
from whynan.lint.values import range_of

CODE = "WN414"
NAME = "logit-at-edge"
CAUSES = ("log-of-zero",)
REMEDIES = ("clamp", "stable-formulation")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("logit"):
        if f.lib not in ("torch", "method", "scipy") or not f.args or f.arg(1, "eps") is not None:
            continue
        r = range_of(file, f.args[0])
        if ((r.zero and r.lo == 0) or (r.top and r.hi == 1)) and not guarded(file, f.node):
            yield Hit(f.node, f"logit is infinite where {short(file, f.args[0].node)} is 0 or 1: {r.zero or r.top}.")
