"""reinitialize: a standard initialization.

What it does
------------
Brings a hand-set initialization back to a standard one: gain 1, a small deviation, Xavier, small noise instead
of exact zeros or constants.

When it applies
---------------
The failure comes in the first steps, activations or gradients grow from layer to layer, or a weight is exactly
zero where its norm is differentiated.

When it does not
----------------
Where weights are loaded from a file, or were sound and grew: the initialization is not what fails.

Live
----
Parameters drawn again by PyTorch's own rules before the first step (`reinit`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.case.facts import Report
from whynan.remedy import flow
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.form import form
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("reinitialize", "a standard initialization", where="project", live=("reinit",))
def reinitialize(report: Report, source: Source) -> list[Candidate]:
    found = list(_inits(source))
    out = [Candidate("reinitialize", title, source, (edit,), order=order) for order, title, edit in found]
    groups: dict[str, list[Edit]] = {}
    for _, title, edit in found:
        groups.setdefault(title, []).append(edit)
    for title, edits in groups.items():
        if len(edits) > 1:
            out.append(Candidate("reinitialize", f"{title} (everywhere)", source, tuple(edits), order=0.9))
    return out


def _inits(source: Source) -> Iterator[tuple[float, str, Edit]]:
    for call in source.calls:
        name = flow.last_name(call.func) or ""
        dotted = source.dotted(call.func) or ""
        if dotted.startswith("torch.nn.init."):
            yield from _library(source, call, name)
        elif (
            name in ("normal_", "uniform_", "fill_", "mul_")
            and isinstance(call.func, ast.Attribute)
            and _weight(source, call.func.value)
        ):
            std = "0.02" if name == "normal_" else "0.05"
            text = f"{source.segment(call.func.value)}.normal_(0.0, {std})"
            yield 0.6, "small random weights", source.replace(call, text)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            yield from _scaled(source, node)


def _library(source: Source, call: ast.Call, name: str) -> Iterator[tuple[float, str, Edit]]:
    gain = next(
        (k.value for k in call.keywords if k.arg == "gain"),
        call.args[1] if len(call.args) > 1 and name.startswith(("xavier", "orthogonal")) else None,
    )
    value = form(source, gain).number if gain is not None else None
    if gain is not None and (value is None or value > 1):
        yield 0.2, "gain 1", source.replace(gain, "1.0")
    if not call.args:
        return
    target = source.segment(call.args[0])
    head = source.segment(call.func)[: -len(name)]
    if name in ("normal_", "uniform_", "constant_", "ones_", "zeros_", "eye_", "trunc_normal_"):
        if "bias" in target:
            if name not in ("zeros_",):
                yield 0.8, "zero biases", source.replace(call, f"{head}zeros_({target})")
            return
        if name in ("zeros_", "eye_", "constant_", "ones_"):
            yield (
                0.5,
                "small noise instead of constant weights",
                source.replace(call, f"{head}normal_({target}, std=1e-2)"),
            )
        else:
            yield 0.3, "Xavier initialization", source.replace(call, f"{head}xavier_uniform_({target})")


def _weight(source: Source, receiver: ast.expr) -> bool:
    text = source.segment(receiver)
    return text.endswith((".data", "weight", ".weight.data")) or text in ("p", "param", "w")


def _scaled(source: Source, node: ast.BinOp) -> Iterator[tuple[float, str, Edit]]:
    """nn.Parameter(torch.randn(n, m) * 10) -> * 0.02."""
    for number, other in ((node.right, node.left), (node.left, node.right)):
        value = form(source, number).number
        if (
            value is not None
            and abs(value) >= 0.5
            and form(source, other).op in ("randn", "rand", "ones")
            and _inside_parameter(source, node)
        ):
            yield 0.3, "small random weights", source.replace(number, "0.02")


def _inside_parameter(source: Source, node: ast.AST) -> bool:
    return any(
        isinstance(a, ast.Call) and flow.last_name(a.func) in ("Parameter", "copy_") for a in source.ancestors(node)
    )
