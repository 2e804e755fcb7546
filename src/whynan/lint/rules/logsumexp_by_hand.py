"""logsumexp written by hand

What it does
------------
Finds `log(exp(z).sum(...))` and `log(mean(exp(z)))` where z is not shifted by its maximum.

Why
---
exp overflows at 88.7 in float32; below -104 all of them are 0 and log(0) is -inf. `torch.logsumexp` shifts first.

Bad
---
    import torch

    def partition(energy):
        return torch.log(torch.exp(-energy).sum(dim=-1))

Good
----
    import torch

    def partition(energy):
        return torch.logsumexp(-energy, dim=-1)

When it is safe
---------------
Where the maximum was subtracted, or the argument is bounded. The fix writes `logsumexp`.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS, TENSORS, bounded, exponent_of, short, without_eps
from whynan.lint.rule import Hit

CODE = "WN404"
NAME = "logsumexp-by-hand"
CAUSES = ("exp-overflow", "log-of-underflow")
REMEDIES = ("stable-formulation", "clamp")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("log"):
        if f.lib not in ARRAYS or not f.args:
            continue
        total = through(file, f.args[0])
        total = without_eps(file, total)
        if total.op not in ("sum", "mean") or not total.args or total.lib not in ARRAYS:
            continue
        z = exponent_of(file, total.args[0])
        if z is not None and not bounded(file, z) and not guarded(file, f.node):
            message = (
                f"exp of {short(file, z.node)} overflows at 88.7 (float32), and all of it is 0 below -104: logsumexp."
            )
            yield Hit(f.node, message, ("log_of_sum_of_exp",) if f.lib in TENSORS else ())
