"""Logarithm of something that reaches zero

What it does
------------
Finds `log`, `log2` and `log10` of a value that the code itself shows to reach 0: the output of a relu or of a clamp
at 0, a count, a norm, a variance, 1 - tanh(x).

Why
---
log(0) is -inf, and 0 * -inf in the next line or in backward is NaN. Exact zeros are common: relu gives them,
classes without members have count 0, silence has power 0.

Bad
---
    import torch

    def level(spectrum):
        power = torch.relu(spectrum)
        return 10 * torch.log10(power)

Good
----
    import torch

    def level(spectrum):
        power = torch.relu(spectrum)
        return 10 * torch.log10(power.clamp(min=1e-10))

When it is safe
---------------
Where the zeros cannot occur for a reason that the code does not show; then say so in a comment with `# whynan:
ignore[WN101]`. An eps, a clamp, or a test of the value before the logarithm silences the rule.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS, short, zero
from whynan.lint.rule import Hit
from whynan.remedy.form import Form

CODE = "WN101"
NAME = "log-at-zero"
CAUSES = ("log-of-zero",)
REMEDIES = ("clamp", "add-eps")


OWN_RULES = ("softmax", "sigmoid", "rand", "rand_like", "uniform")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("log", "log2", "log10"):
        if f.lib not in ARRAYS or not f.args or through(file, f.args[0]).op in OWN_RULES:
            continue
        why = zero(file, f.args[0])
        if why and not _of_sigmoid(file, f) and not guarded(file, f.node, f.args[0].node):
            yield Hit(f.node, f"The logarithm of {short(file, f.args[0].node)} is -inf where it is 0: {why}.")


def _of_sigmoid(file: File, f: Form) -> bool:
    inner = through(file, f.args[0])
    return inner.op == "sub" and through(file, inner.args[1]).op == "sigmoid"
