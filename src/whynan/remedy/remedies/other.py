"""other: divide an accumulated loss by its number of parts; a loss scale that fits float16.

What it does
------------
Divides the loss of a micro-batch by the number of micro-batches; holds a loss scale inside the range of
float16, or makes it smaller.

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
import math

from whynan.case.facts import Report
from whynan.remedy import flow, optimizers
from whynan.remedy.calls import set_option
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

LOWER = 128  # seven doublings: what a gradient may still grow by


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
    """scale *= 2 -> scale = min(scale * 2, 2.0 ** 15); scale = 2.0 ** 17 -> 2.0 ** 10; GradScaler(init_scale=...)."""
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
    out += _static(source)
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


def _static(source: Source) -> list[Candidate]:
    """(loss * scale).backward() with a scale that is one number: a smaller number, where it is written."""
    out = []
    for call in optimizers.backward_calls(source):
        product = call.func.value if isinstance(call.func, ast.Attribute) else None
        if not isinstance(product, ast.BinOp) or not isinstance(product.op, ast.Mult):
            continue
        for factor in (product.left, product.right):
            written = _written(source, factor) if "scale" in source.segment(factor).lower() else None
            value = _value(written) if written is not None else None
            if written is None or value is None or value < 2 * LOWER:
                continue
            smaller = f"{value / LOWER:g}"
            if isinstance(written, ast.BinOp) and math.log2(value).is_integer():
                smaller = f"2.0 ** {int(math.log2(value / LOWER))}"
            title = f"a loss scale that is {LOWER} times smaller"
            out.append(Candidate("other", title, source, (source.replace(written, smaller),), order=0.3))
    return out


def _written(source: Source, node: ast.expr) -> ast.expr | None:
    """Where the value of a name or attribute is written: an assignment, or the only field of a class of that name."""
    found = flow.meaning(source, node) if isinstance(node, (ast.Name, ast.Attribute)) else node
    if found is not None and _value(found) is not None or not isinstance(node, ast.Attribute):
        return found
    classes = [n for n in ast.walk(source.tree) if isinstance(n, ast.ClassDef)]
    fields = [
        s.value
        for c in classes
        for s in c.body
        if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and s.target.id == node.attr and s.value
    ]
    return fields[0] if len(fields) == 1 else None


def _value(node: ast.expr) -> float | None:
    """The number of a literal, or of a power or product of two."""
    if isinstance(node, ast.Constant):
        return float(node.value) if isinstance(node.value, (int, float)) and not isinstance(node.value, bool) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Pow, ast.Mult)):
        left, right = _value(node.left), _value(node.right)
        if left is not None and right is not None and abs(right) < 200:
            return float(left**right) if isinstance(node.op, ast.Pow) else left * right
    return None


def _factor(source: Source, node: ast.expr) -> str:
    return source.segment(node) if isinstance(node, ast.Constant) else source.atom(node)
