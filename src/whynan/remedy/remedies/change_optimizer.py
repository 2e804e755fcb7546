"""change-optimizer: an option that works, or another optimizer.

What it does
------------
Repairs an option that cannot work (centered RMSprop, momentum or betas of 1, negative weight decay, maximize on
a loss), or uses Adam, whose update is bounded by the learning rate, where plain SGD's is not.

When it applies
---------------
The optimizer itself makes the parameters grow, or SGD's steps are as large as steep gradients make them.

When it does not
----------------
A failure of one op or one batch; Adam's learning rate has another meaning, so training will differ.

Live
----
The loss minimised (`minimize`), the sign of weight_decay turned (`weight-decay`), betas kept below 1 (`betas`),
or Adam's update in the place of SGD's (`adam`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.case.facts import Report
from whynan.remedy import flow, optimizers
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("change-optimizer", "another optimizer", where="project", live=("minimize", "weight-decay", "betas", "adam"))
def change_optimizer(report: Report, source: Source) -> list[Candidate]:
    out = []
    for call in optimizers.constructors(source):
        for title, edit, live in _wrong_options(source, call):
            out.append(Candidate("change-optimizer", title, source, (edit,), order=0.2, live=live))
        if flow.last_name(call.func) == "SGD" and call.args:
            first = source.segment(call.args[0])
            text = f"{source.segment(call.func)[:-3]}Adam({first}, lr=1e-3)"
            if isinstance(call.func, ast.Attribute):
                edits = (source.replace(call, text),)
                alone = ("adam",) if len(optimizers.constructors(source)) == 1 else ()
                out.append(Candidate("change-optimizer", "Adam instead of SGD", source, edits, order=2.0, live=alone))
    return out


def _wrong_options(source: Source, call: ast.Call) -> Iterator[tuple[str, Edit, tuple[str, ...]]]:
    """(title, edit, experiments that do the same) for every option that cannot work."""
    for keyword in call.keywords:
        value = keyword.value
        number = _number(value)
        if keyword.arg == "centered" and isinstance(value, ast.Constant) and value.value is True:
            title = "RMSprop without centering, whose variance can round below zero"
            yield title, source.replace(value, "False"), ()
        elif keyword.arg in ("momentum", "alpha", "rho") and number is not None and number >= 1:
            yield f"{keyword.arg} below 1", source.replace(value, "0.9" if keyword.arg == "momentum" else "0.99"), ()
        elif keyword.arg == "betas" and isinstance(value, ast.Tuple):
            for beta, usual in zip(value.elts, ("0.9", "0.999")):
                if (number := _number(beta)) is not None and number >= 1:
                    yield f"a beta of {usual}", source.replace(beta, usual), ()
        elif keyword.arg == "weight_decay" and number is not None and number < 0:
            yield "weight decay that shrinks the weights", source.replace(value, f"{-number:g}"), ("weight-decay",)
        elif keyword.arg == "maximize" and isinstance(value, ast.Constant) and value.value is True:
            yield "minimize the loss", source.replace(value, "False"), ("minimize",)


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    return float(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) else None
