"""Inverse distribution function at 0 or 1

What it does
------------
Finds `icdf(q)` and `ndtri(q)` of `linspace(0, 1, n)`, of `torch.rand` and of other values that reach 0 or 1.

Why
---
The quantile of 0 and of 1 is infinite for every distribution without bounds.

Bad
---
    import torch
    from torch.distributions import Normal

    levels = Normal(0.0, 1.0).icdf(torch.linspace(0.0, 1.0, 16))

Good
----
    import torch
    from torch.distributions import Normal

    levels = Normal(0.0, 1.0).icdf((torch.arange(16) + 0.5) / 16)

When it is safe
---------------
For distributions with bounds, such as Uniform.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.loops import text_around
from whynan.lint.meaning import behind
from whynan.lint.rule import Hit
from whynan.lint.values import range_of

CODE = "WN415"
NAME = "quantile-at-edge"
CAUSES = ("domain-error", "nonfinite-initialization")
REMEDIES = ("clamp", "reinitialize")
UNBOUNDED = ("Normal", "Cauchy", "Laplace", "Gumbel", "StudentT", "Logistic", "LogisticNormal")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("icdf"):
        if f.lib not in ("torch", "method", "scipy") or not f.args or guarded(file, f.node):
            continue
        if f.lib == "method" and behind(file, f.args[0]).op not in UNBOUNDED:
            continue
        r = range_of(file, f.args[-1])
        if "expit(" in text_around(file, f.node) or "sigmoid(" in text_around(file, f.node):
            continue  # squashed again: the infinities become 0 and 1
        if (r.zero and r.lo == 0) or (r.top and r.hi == 1):
            yield Hit(f.node, f"The quantile of 0 or 1 is infinite: {r.zero or r.top}.")
