"""other: divide an accumulated loss by its number of parts; cap a loss scale that only grows.

What it does
------------
Divides the loss of a micro-batch by the number of micro-batches; holds a loss scale inside the range of
float16.

When it applies
---------------
Gradients of several micro-batches are added up and stepped with the rate of one; a hand-written loss scale
doubles without end.

When it does not
----------------
A rate that was chosen for the sum.

Live
----
The gradients of a step divided by the number of backward passes that it adds up (`mean-of-parts`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import flow, optimizers
from whynan.remedy.calls import set_option
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("other", "loss accumulation and scaling", where="project", live=("mean-of-parts",))
def other(report: Report, source: Source) -> list[Candidate]:
    return [*_accumulated(source), *_scale(report, source)]


def _accumulated(source: Source) -> list[Candidate]:
    """loss.backward() n times for each step: (loss / n).backward()."""
    out = []
    for call in optimizers.backward_calls(source):
        assert isinstance(call.func, ast.Attribute)
        loss = call.func.value
        count = _micro_batches(source, call)
        if count is None or (isinstance(loss, ast.BinOp) and isinstance(loss.op, ast.Div)) or _divided(source, loss):
            continue
        text = f"({source.segment(loss)} / {count})"
        out.append(
            Candidate(
                "other",
                "divide the loss by the number of micro-batches",
                source,
                (source.replace(loss, text),),
                order=0.1,
                live=("mean-of-parts",),
            )
        )
    return out


def _divided(source: Source, loss: ast.expr) -> bool:
    value = flow.meaning(source, loss) if isinstance(loss, (ast.Name, ast.Attribute)) else None
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div)


def _micro_batches(source: Source, call: ast.Call) -> str | None:
    """n of `if (i + 1) % n == 0: optimizer.step()` next to the backward, or of `for _ in range(n): ... backward()`
    before the step."""
    steps = optimizers.steps(source)
    for loop in [a for a in source.ancestors(call) if isinstance(a, ast.For)]:
        inside = [s for s in steps if loop in source.ancestors(s.statement)]
        for step in inside:
            for test in [a for a in source.ancestors(step.statement) if isinstance(a, ast.If)]:
                if source.function(test) is source.function(call) and test not in source.ancestors(call):
                    for node in ast.walk(test.test):
                        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
                            return _factor(source, node.right)
        if inside:
            return None
        if isinstance(loop.iter, ast.Call) and flow.last_name(loop.iter.func) == "range" and len(loop.iter.args) == 1:
            return _factor(source, loop.iter.args[0])
    return None


def _scale(report: Report, source: Source) -> list[Candidate]:
    """scale *= 2 -> scale = min(scale * 2, 2.0 ** 15); GradScaler(init_scale=2.0 ** 12)."""
    if not any(c.class_ in ("loss-scaling-misuse", "low-precision-overflow") for c in report.causes[:3]):
        return []
    out = []
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.AugAssign)
            and isinstance(node.op, ast.Mult)
            and "scale" in source.segment(node.target).lower()
        ):
            name = source.segment(node.target)
            text = f"{name} = min({name} * {_factor(source, node.value)}, 2.0 ** 15)"
            out.append(
                Candidate("other", "a ceiling for the loss scale", source, (source.replace(node, text),), order=0.2)
            )
    for call in optimizers.calls_named(source, "GradScaler"):
        out.append(
            Candidate(
                "other",
                "start with a smaller loss scale",
                source,
                (set_option(source, call, "init_scale", "2.0**10"),),
                order=0.4,
            )
        )
    return out


def _factor(source: Source, node: ast.expr) -> str:
    return source.segment(node) if isinstance(node, ast.Constant) else source.atom(node)
