"""Standard deviation of a batch that may hold one element

What it does
------------
Finds `(x - x.mean()) / (x.std() + eps)`, over everything or over the batch dimension, with the default correction,
where the numbers are those of a minibatch: made anew in a loop over batches, splits or indices.

Why
---
The standard deviation of one element with Bessel's correction is 0 / 0 = NaN, and the eps does not help. The last
batch of an epoch, or a rollout of one step, has one element.

Bad
---
    import torch

    def epoch(loader, update):
        for advantage in loader:
            update((advantage - advantage.mean()) / (advantage.std() + 1e-8))

Good
----
    import torch

    def epoch(loader, update):
        for advantage in loader:
            update((advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8))

When it is safe
---------------
Where batches hold at least two elements (`drop_last=True`). numpy's std has no correction by default and gives 0.

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
from whynan.lint.parts import TENSORS, short
from whynan.lint.rule import Hit
from whynan.remedy import flow
from whynan.remedy.form import Form, same

CODE = "WN511"
NAME = "std-of-one"
CAUSES = ("std-of-one-element",)
REMEDIES = ("guard-empty", "drop-bad-batch")
MINIBATCH = re.compile(
    r"batch|split|sampler|loader|(?<![a-z])mb|(?<![a-z])idx|ind(ex|ices)|chunk|generator", re.IGNORECASE
)
SMALL = re.compile(r"adv|reward|returns|gae|score|^\w$", re.IGNORECASE)  # what is normalised over a batch or a rollout


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("div"):
        if len(f.args) != 2:
            continue
        below = behind(file, f.args[1])
        if below.op in ("add", "clamp", "maximum", "max") and below.args:
            below = behind(file, next((a for a in below.args if behind(file, a).op == "std"), below))
        std = through(file, below)
        top = through(file, f.args[0])
        if std.op != "std" or std.lib not in TENSORS or not _of_rollout(std) or top.op != "sub" or not _over_batch(std):
            continue
        mean = through(file, top.args[1]) if len(top.args) == 2 else top
        centred = mean.op == "mean" and bool(mean.args) and same(file, mean.args[0], std.args[0])
        if centred and _of_minibatch(file, std) and not guarded(file, f.node, std.node):
            message = f"NaN where {short(file, std.args[0].node)} has one element; an eps does not help."
            yield Hit(std.node, message, doubtful=not file.program)


def _of_minibatch(file: File, std: Form) -> bool:
    """Whether the numbers are those of a minibatch, the last of which may have one sample: made anew in a loop."""
    name = std.args[0].node
    while isinstance(name, (ast.Attribute, ast.Subscript, ast.Call)):
        name = name.func if isinstance(name, ast.Call) else name.value
    if not isinstance(name, ast.Name):
        return False
    loops = [a for a in file.ancestors(std.node) if isinstance(a, ast.For)]
    bound = [s for s, _ in flow.bindings(file, file.scope(name), name.id)]
    around = [loop for loop in loops for s in bound if s is loop or loop in file.ancestors(s)]
    return any(MINIBATCH.search(ast.unparse(loop.target) + " " + ast.unparse(loop.iter)) for loop in around)


def _over_batch(std: Form) -> bool:
    """Over everything, or over dimension 0, with the default correction."""
    if {"unbiased", "correction"} & set(std.kw) or not std.args:
        return False
    dim = std.kw.get("dim") or std.kw.get("axis") or std.arg(1)
    return dim is None or (dim.number == 0 and len(std.args) <= 2)


def _of_rollout(std: Form) -> bool:
    """Numbers of which there is one a sample or a step, not an image or a signal."""
    return bool(std.args) and SMALL.search(str(std.args[0].value or "").split(".")[-1]) is not None
