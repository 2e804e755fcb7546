"""full-precision: compute in float32.

What it does
------------
Takes the model, autocast or the failing op out of float16: drops `.half()`, switches autocast off, casts the
op's input.

When it applies
---------------
The value that was lost fits float32: sums and products beyond 65504, an eps that float16 rounds to zero.

When it does not
----------------
Where float32 overflows as well, or the mathematics has no answer: the same op in float32 is still Inf or NaN.

Live
----
Autocast off and half tensors widened (`float32`); or the patched function itself.
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import calls, finder, flow, halves, wraps
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.form import form
from whynan.remedy.guarding import is_half
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

CASTABLE = ("add", "sub", "mul", "div", "softmax", "sum", "exp", "pow", "matmul", "square")
REASONS = ("low-precision-overflow", "low-precision-underflow", "loss-scaling-misuse")


@remedy("full-precision", "compute in float32", live=("float32",))
def full_precision(report: Report, source: Source) -> list[Candidate]:
    casts = halves.half_calls(source)
    names = halves.half_names(source)
    out = []
    if casts or names:
        edits = tuple(Edit(source.span(c.func.value)[1], source.span(c)[1], "") for c in casts)  # type: ignore[attr-defined]
        edits += tuple(source.replace(n, source.spell("torch.float32")) for n in names if not _in_autocast(source, n))
        if edits:
            out.append(Candidate("full-precision", "keep the model in float32", source, edits, order=0.3))
    for call in halves.autocasts(source):
        edit = calls.set_option(source, call, "enabled", "False")
        out.append(Candidate("full-precision", "compute in float32, without autocast", source, (edit,), order=0.5))
    return out + _local(report, source)


def _in_autocast(source: Source, node: ast.AST) -> bool:
    """float32 is no type for autocast; a name that goes there through a parameter is left to `enabled=False`."""
    return bool(halves.autocasts(source)) and not any(
        isinstance(a, ast.Call) and flow.last_name(a.func) in ("to", "tensor", "zeros", "ones", "empty")
        for a in source.ancestors(node)
    )


def _local(report: Report, source: Source) -> list[Candidate]:
    """Cast the inputs of the failing op to float32; switch autocast off around it where the op is a layer."""
    if report.birth is None or not (is_half(report) or any(c.class_ in REASONS for c in report.causes[:3])):
        return []
    out: list[Candidate] = []
    for site in finder.sites(source, report.birth):
        if site.distance >= 1 or len(out) > 5:
            continue
        f = form(source, site.form.node)
        cast = next((a.node for a in f.args if a.number is None), None)
        if f.op in CASTABLE and cast is not None:
            edits = wraps.to_edits([wraps.method(source, cast, ".float()")])
            out.append(
                Candidate(
                    "full-precision", "compute this op in float32", source, edits, order=0.2 + 0.1 * site.distance
                )
            )
            casts = [c for c in ast.walk(f.node) if isinstance(c, ast.Call) and flow.last_name(c.func) == "to"]
            plain = tuple(
                Edit(source.span(c.func.value)[1], source.span(c)[1], ".float()")
                for c in casts
                if isinstance(c.func, ast.Attribute)
            )
            if plain:
                out.append(Candidate("full-precision", "compute this op in float32", source, edits + plain, order=0.15))
        for call in (n for n in ast.walk(f.node) if isinstance(n, ast.Call)):
            if flow.last_name(call.func) == "to" and isinstance(call.func, ast.Attribute):
                edit = Edit(source.span(call.func.value)[1], source.span(call)[1], ".float()")
                out.append(Candidate("full-precision", "keep this value in float32", source, (edit,), order=0.25))
    return out + _island(report, source)


def _island(report: Report, source: Source) -> list[Candidate]:
    """with torch.autocast(..., enabled=False): around the statement, tensors cast to float32."""
    assert report.birth is not None
    statement = finder.statement_at(source, report.birth.line or 0)
    if statement is None or not source.alone(statement) or statement.lineno != statement.end_lineno:
        return []
    if not isinstance(statement, (ast.Assign, ast.Return, ast.Expr)):
        return []
    device = (report.birth.inputs[0].device.split(":")[0] if report.birth.inputs else "") or "cpu"
    names = [n for c in ast.walk(statement) if isinstance(c, ast.Call) for n in c.args if isinstance(n, ast.Name)]
    inserts = wraps.to_edits([wraps.method(source, n, ".float()") for n in names])
    island = f'{source.spell("torch.autocast")}("{device}", enabled=False)'
    title = "compute this statement in float32, outside autocast"
    around = source.parents.get(statement)
    if isinstance(around, ast.With) and around.body == [statement]:  # one more item for the `with` that is there
        last = around.items[-1].optional_vars or around.items[-1].context_expr
        if not source.parenthesised(last):
            at = source.span(last)[1]
            edits = (*inserts, Edit(at, at, f", {island}"))
            return [Candidate("full-precision", title, source, edits, order=0.35)]
    start, end = source.starts[statement.lineno - 1], source.span(statement)[1]
    body = source.data[start:end].decode()
    for e in sorted(inserts, reverse=True):
        at = len(source.data[start : e.start].decode())
        body = body[:at] + e.text + body[at:]
    indent = source.indent(statement)
    step = "\t" if "\t" in indent else "    "
    text = f"{indent}with {island}:{source.newline}{step}{body}"
    return [Candidate("full-precision", title, source, (Edit(start, end, text),), order=0.35)]
