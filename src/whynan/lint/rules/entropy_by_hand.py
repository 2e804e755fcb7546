"""p * log(p) of probabilities

What it does
------------
Finds `p * log(p)` where p is by its name a probability, without an eps or a clamp inside the logarithm.

Why
---
0 * log(0) is 0 * -inf = NaN, although the limit is 0. Probabilities of exactly 0 are ordinary: masked actions, one-
hot targets, underflow.

Bad
---
    import torch

    def entropy(probs):
        return -(probs * torch.log(probs)).sum(dim=-1)

Good
----
    import torch

    def entropy(probs):
        return -(probs * torch.log(probs.clamp(min=1e-8))).sum(dim=-1)

When it is safe
---------------
Where probabilities are clamped before; `Categorical(logits=...).entropy()` is safe, and `torch.special.entr` has
the right value but an infinite derivative at 0.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import behind, through
from whynan.lint.parts import ARRAYS, is_eps, short, zero
from whynan.lint.rule import Hit
from whynan.lint.values import range_of
from whynan.remedy.form import Form, form, same

CODE = "WN502"
NAME = "entropy-by-hand"
CAUSES = ("log-of-zero", "log-of-underflow")
REMEDIES = ("clamp", "add-eps", "stable-formulation")


PROBABILITY = re.compile(
    r"(^|[._])(\w*_)?(p|probs?|probabilit(y|ies)|posteriors?|priors?|attn|attention|pi)\d*$", re.IGNORECASE
)


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("mul"):
        if len(f.args) != 2:
            continue
        for p, log in (f.args, f.args[::-1]):
            if p.op == "neg":
                p = p.args[0]
            inner = behind(file, log)
            if inner.op not in ("log", "log2") or inner.lib not in ARRAYS or not inner.args:
                continue
            if (
                not same(file, p, inner.args[0])
                or not _probability(file, p)
                or guarded(file, f.node, p.node)
                or _raised(file, p)
            ):
                continue
            yield Hit(
                f.node, f"0 * log(0) is NaN where an entry of {short(file, p.node)} is 0.", doubtful=not file.program
            )


def _probability(file: File, p: Form) -> bool:
    inner = through(file, p)
    if inner.op in ("softmax", "sigmoid") or range_of(file, p).positive:
        return False  # log-of-softmax says it
    if inner.op == "div" and not zero(file, p):
        return False  # a share of what is not known to have zeros
    return (
        p.op in ("name", "getitem")
        and PROBABILITY.search(file.segment(p.node).split("[")[0]) is not None
        and (inner.op not in ("clamp", "add", "maximum", "exp"))
    )


def _raised(file: File, p: Form) -> bool:
    """probs += eps, earlier in the function."""
    return any(
        isinstance(n, ast.AugAssign) and ast.unparse(n.target) == ast.unparse(p.node) and is_eps(form(file, n.value))
        for n in file.own_nodes(file.scope(p.node))
    )
