"""Fractional power of something that reaches zero or goes below

What it does
------------
Finds `x ** p` and `x.pow(p)` with a fractional p where the code shows that x reaches 0 (p below 1, where gradients
flow) or is negative (relu'd, clamped, counted, or a tanh, a cosine, a difference from the mean).

Why
---
A negative number to a fractional power is NaN. At 0 the derivative p * x ** (p - 1) is infinite for p below 1.

Bad
---
    import torch

    def compress_loss(x):
        return torch.fft.rfft(x).abs() ** 0.3

Good
----
    import torch

    def compress_loss(x):
        return (torch.fft.rfft(x).abs() + 1e-8) ** 0.3

When it is safe
---------------
Where nothing is differentiated (for the case of 0).

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import created, of_targets, without_gradient
from whynan.lint.guarded import guarded
from whynan.lint.meaning import constant, through
from whynan.lint.parts import short, singular
from whynan.lint.rule import Hit
from whynan.lint.tensors import tensorial
from whynan.lint.values import range_of

CODE = "WN206"
NAME = "fractional-power"
CAUSES = ("singular-gradient", "domain-error")
REMEDIES = ("add-eps", "clamp")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("pow"):
        p = constant(file, f.arg(1, "exponent"))
        if not f.args or p is None or p == int(p) or p < 0 or p == 0.5 or not tensorial(file, f.args[0]):
            continue
        r = range_of(file, f.args[0])
        text = short(file, f.args[0].node)
        if r.bottom and r.lo < 0 and not guarded(file, f.node, f.args[0].node):
            yield Hit(
                f.node,
                f"{text} can be negative, and a negative number to the power {p:g} is NaN.",
                doubtful=not file.program,
            )
        elif (
            p < 1
            and not r.count
            and not without_gradient(file, f.node)
            and not of_targets(file, f.args[0].node)
            and not created(file, through(file, f.args[0]))
        ):
            why = singular(file, f.args[0])
            if why and not guarded(file, f.node, f.args[0].node):
                yield Hit(
                    f.node,
                    f"The derivative of {text} to the power {p:g} is infinite at 0: {why}.",
                    doubtful=not file.program,
                )
