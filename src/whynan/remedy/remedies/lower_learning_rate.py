"""lower-learning-rate: a smaller learning rate.

What it does
------------
Divides the learning rate by 10 (or 100): the literal where it is written, else the expression at the optimizer,
the rates of parameter groups and of schedules that write over it included.

When it applies
---------------
Divergence over steps: the loss or the weights grow from step to step before something overflows.

When it does not
----------------
For a failure of one op or one batch it only delays: the same value comes later. Training is slower.

Live
----
A tenth of the learning rate in every step, from the oldest snapshot on (`lr/10`); where the rate itself turned
non-finite, the last finite one (`finite-lr`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import flow, optimizers, wraps
from whynan.remedy.calls import append
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

DEFAULTS = {
    "Adam": 1e-3,
    "AdamW": 1e-3,
    "SGD": 1e-3,
    "RMSprop": 1e-2,
    "Adagrad": 1e-2,
    "Adamax": 2e-3,
    "NAdam": 2e-3,
    "RAdam": 1e-3,
    "LBFGS": 1.0,
    "Adadelta": 1.0,
    "ASGD": 1e-2,
    "Rprop": 1e-2,
    "SparseAdam": 1e-3,
}


@remedy("lower-learning-rate", "lower the learning rate", where="project", live=("finite-lr", "lr/10"))
def lower_learning_rate(report: Report, source: Source) -> list[Candidate]:
    out = []
    for i, factor in enumerate((10, 100)):
        edits = [e for call in optimizers.constructors(source) for e in _divided(source, call, factor)]
        edits += _schedulers(source, factor)
        if edits:
            title = f"divide the learning rate by {factor}"
            exact = ("lr/10",) if factor == 10 else ()
            out.append(
                Candidate("lower-learning-rate", title, source, tuple(edits), order=0.2 + i, popular=i == 0, live=exact)
            )
    return out


def _divided(source: Source, call: ast.Call, factor: int) -> list[Edit]:
    """Edits for one constructor and its parameter groups."""
    edits = [_scale(source, value, factor) for value in _group_rates(source, call)]
    lr = optimizers.option(call, "lr", 1)
    if lr is not None:
        return [*edits, _scale(source, lr, factor)]
    name = flow.last_name(call.func) or ""
    return edits or ([append(source, call, f"lr={DEFAULTS[name] / factor:g}")] if name in DEFAULTS else [])


def _group_rates(source: Source, call: ast.Call) -> list[ast.expr]:
    found = []
    for node in ast.walk(call):
        if isinstance(node, ast.Dict):
            found += [v for k, v in zip(node.keys, node.values) if isinstance(k, ast.Constant) and k.value == "lr"]
    return found


def _scale(source: Source, value: ast.expr, factor: int) -> Edit:
    """The literal behind a learning rate divided; where there is none, the expression multiplied."""
    literal = literal_behind(source, value)
    if literal is not None:
        return source.replace(literal, _written(float(literal.value) / factor, like=source.segment(literal)))  # type: ignore[arg-type]
    loose = isinstance(value, (ast.BinOp, *wraps.LOOSE)) and not isinstance(
        getattr(value, "op", None), (ast.Mult, ast.Div)
    )
    text = f"({source.segment(value)}) / {factor}" if loose else f"{source.segment(value)} / {factor}"
    return source.replace(value, text)


def _written(value: float, like: str) -> str:
    """6e-4 where the old rate was 6e-3, 0.0006 where it was 0.006."""
    if "e" not in like.lower():
        return f"{value:g}"
    mantissa, _, exponent = f"{value:e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def literal_behind(source: Source, value: ast.expr) -> ast.Constant | None:
    """The number itself, the constant a name was given, or the default of a parameter nobody overrides."""
    if isinstance(value, ast.Constant) and isinstance(value.value, (int, float)):
        return value
    found = flow.meaning(source, value) if isinstance(value, (ast.Name, ast.Attribute)) else None
    if found is None and isinstance(value, ast.Name):
        function = source.scope(value)
        given = [v for c in flow.callers(source, function) if (v := flow.argument(c, function, value.id)) is not None]
        if value.id in flow.arguments(function):
            found = given[0] if len(given) == 1 else (flow.default(function, value.id) if not given else None)
    if found is None or found is value:
        return None
    return literal_behind(source, found)


def _schedulers(source: Source, factor: int) -> list[Edit]:
    """Rates that a schedule writes over the optimizer's own: OneCycleLR(max_lr=...), group["lr"] = ..."""
    edits = []
    for call in optimizers.calls_named(source, "OneCycleLR", "CyclicLR"):
        value = optimizers.option(call, "max_lr", 1)
        if value is not None:
            edits.append(_scale(source, value, factor))
    for node in ast.walk(source.tree):
        for target, value in flow.targets(node):
            if (
                isinstance(target, ast.Subscript)
                and isinstance(target.slice, ast.Constant)
                and target.slice.value == "lr"
                and value
            ):
                edits.append(_scale(source, value, factor))
    return edits
