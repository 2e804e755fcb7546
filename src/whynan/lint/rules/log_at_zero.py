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

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named. Of a saturated softmax or sigmoid it is reported everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import ARRAYS, short, zero
from whynan.lint.ranges import SOFT
from whynan.lint.rule import Hit
from whynan.lint.values import range_of
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
        r = range_of(file, f.args[0])
        if r.count and r.hi <= 1 and through(file, f.args[0]).op != "mean":
            continue  # of a mask: -inf is meant, to be added to logits
        if why and not _of_sigmoid(file, f) and not guarded(file, f.node, f.args[0].node):
            message = f"The logarithm of {short(file, f.args[0].node)} is -inf where it is 0: {why}."
            yield Hit(f.node, message, doubtful=why not in SOFT and not file.program)


def _of_sigmoid(file: File, f: Form) -> bool:
    inner = through(file, f.args[0])
    return inner.op == "sub" and through(file, inner.args[1]).op == "sigmoid"
