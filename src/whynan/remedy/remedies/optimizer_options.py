"""raise-optimizer-eps, change-optimizer, zero-grad: what the optimizer is told."""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import flow, optimizers
from whynan.remedy.calls import set_option
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

WITH_EPS = {
    "Adam": 1e-8,
    "AdamW": 1e-8,
    "Adamax": 1e-8,
    "NAdam": 1e-8,
    "RAdam": 1e-8,
    "RMSprop": 1e-8,
    "Adagrad": 1e-10,
    "Adadelta": 1e-6,
    "SparseAdam": 1e-8,
}


@remedy("raise-optimizer-eps", "raise the optimizer's eps", where="project")
def raise_optimizer_eps(report: Report, source: Source) -> list[Candidate]:
    """Set eps to what the parameters' number format can hold: 1e-4 in float16, the library's default where it was 0.

    Applies where the update divides by sqrt(v) + eps and both are zero.
    """
    asked = any(c.class_ in ("optimizer-misuse", "low-precision-underflow") for c in report.causes[:3])
    if not asked and not (report.birth and report.birth.phase == "optimizer"):
        return []
    half = any(n in source.text for n in ("float16", ".half()", "torch.half"))
    out = []
    for i, eps in enumerate(("1e-4", "1e-3") if half else ("1e-8", "1e-6", "1e-4")):
        edits = []
        for call in optimizers.constructors(source):
            name = flow.last_name(call.func) or ""
            now = optimizers.option(call, "eps")
            value = now.value if isinstance(now, ast.Constant) else None
            old = value if isinstance(value, (int, float)) else (WITH_EPS.get(name, 0.0) if now is None else 0.0)
            if name in WITH_EPS and float(eps) > old:
                edits.append(set_option(source, call, "eps", eps))
        if edits:
            out.append(
                Candidate("raise-optimizer-eps", f"give the optimizer eps={eps}", source, tuple(edits), order=0.3 + i)
            )
    return out


@remedy("change-optimizer", "another optimizer", where="project")
def change_optimizer(report: Report, source: Source) -> list[Candidate]:
    """Repair an option that cannot work (centered RMSprop, momentum or betas of 1, negative weight decay), or use
    Adam.

    Adam's update is bounded by the learning rate, which plain SGD's is not.
    """
    out = []
    for call in optimizers.constructors(source):
        for title, edit in _wrong_options(source, call):
            out.append(Candidate("change-optimizer", title, source, (edit,), order=0.2))
        if flow.last_name(call.func) == "SGD" and call.args:
            first = source.segment(call.args[0])
            text = f"{source.segment(call.func)[:-3]}Adam({first}, lr=1e-3)"
            if isinstance(call.func, ast.Attribute):
                out.append(
                    Candidate(
                        "change-optimizer", "Adam instead of SGD", source, (source.replace(call, text),), order=2.0
                    )
                )
    return out


def _wrong_options(source: Source, call: ast.Call) -> list[tuple[str, Edit]]:
    found = []
    for keyword in call.keywords:
        value = keyword.value
        number = _number(value)
        if keyword.arg == "centered" and isinstance(value, ast.Constant) and value.value is True:
            found.append(
                ("RMSprop without centering, whose variance can round below zero", source.replace(value, "False"))
            )
        elif keyword.arg in ("momentum", "alpha", "rho") and number is not None and number >= 1:
            found.append(
                (f"{keyword.arg} below 1", source.replace(value, "0.9" if keyword.arg == "momentum" else "0.99"))
            )
        elif keyword.arg == "weight_decay" and number is not None and number < 0:
            found.append(("weight decay that shrinks the weights", source.replace(value, f"{-number:g}")))
        elif keyword.arg == "maximize" and isinstance(value, ast.Constant) and value.value is True:
            found.append(("minimize the loss", source.replace(value, "False")))
    return found


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    return float(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) else None


@remedy("zero-grad", "clear the gradients each step", safety="safe", where="project")
def zero_grad(report: Report, source: Source) -> list[Candidate]:
    """Insert optimizer.zero_grad() after the step where no gradient is ever cleared."""
    if (
        any(flow.last_name(c.func) == "zero_grad" for c in source.calls)
        or ".grad = None" in source.text
        or ".grad.zero_" in source.text
    ):
        return []
    edits = [source.insert_after(s.statement, f"{s.optimizer}.zero_grad()") for s in optimizers.steps(source)]
    kept = tuple(e for e in edits if e)
    return (
        [Candidate("zero-grad", "clear the gradients after each step", source, kept, "safe", order=0.1)] if kept else []
    )
