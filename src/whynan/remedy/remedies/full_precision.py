"""full-precision, bfloat16, float64: another number format for the model, for autocast, or for the op that failed."""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import calls, finder, flow, wraps
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.form import form
from whynan.remedy.guarding import is_half
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

HALF = ("torch.float16", "torch.half")
REASONS = ("low-precision-overflow", "low-precision-underflow", "loss-scaling-misuse")


@remedy("full-precision", "compute in float32")
def full_precision(report: Report, source: Source) -> list[Candidate]:
    """Take the model, autocast or the failing op out of float16: drop .half(), switch autocast off, cast the op's
    input.

    Applies where the value that was lost fits float32.
    """
    halves = _half_calls(source)
    names = _half_names(source)
    out = []
    if halves or names:
        edits = tuple(Edit(source.span(c.func.value)[1], source.span(c)[1], "") for c in halves)  # type: ignore[attr-defined]
        edits += tuple(source.replace(n, source.spell("torch.float32")) for n in names if not _in_autocast(source, n))
        if edits:
            out.append(Candidate("full-precision", "keep the model in float32", source, edits, order=0.3))
    for call in autocasts(source):
        edit = calls.set_option(source, call, "enabled", "False")
        out.append(Candidate("full-precision", "compute in float32, without autocast", source, (edit,), order=0.5))
    return out + _local(report, source)


@remedy("bfloat16", "bfloat16 instead of float16", where="project")
def bfloat16(report: Report, source: Source) -> list[Candidate]:
    """Use bfloat16, which has the range of float32: in autocast, for .half() models, for dtype=torch.float16.

    Applies to overflow and to an eps that float16 rounds to zero; bfloat16 has fewer digits.
    """
    names, halves = _half_names(source), _half_calls(source)
    edits = [source.replace(n, source.spell("torch.bfloat16")) for n in names]
    edits += [Edit(source.span(c.func.value)[1], source.span(c)[1], ".bfloat16()") for c in halves]  # type: ignore[attr-defined]
    if not edits:
        edits = [
            calls.set_option(source, c, "dtype", source.spell("torch.bfloat16"))
            for c in autocasts(source)
            if not _has_dtype(c)
        ]
    return [Candidate("bfloat16", "bfloat16 instead of float16", source, tuple(edits), order=0.4)] if edits else []


@remedy("float64", "compute in float64", where="project")
def float64(report: Report, source: Source) -> list[Candidate]:
    """Make float64 the default type. Helps where a finite result leaves the range of float32 once; otherwise it
    only delays.

    A popular remedy that rarely cures: it is tried to say so.
    """
    imports = [n for n in source.tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    if not imports or "torch" not in source.aliases.values() or "set_default_dtype" in source.text:
        return []
    seeds = [source.statement(c) for c in calls_to_seed(source)]
    first = next((s for s in source.tree.body if s in seeds), None)
    line = f"{source.spell('torch.set_default_dtype')}({source.spell('torch.float64')})"
    edit = source.insert_after(first, line) if first else source.insert_after(imports[-1], line)
    return [Candidate("float64", "compute in float64", source, (edit,), order=5.0, popular=True)] if edit else []


def calls_to_seed(source: Source) -> list[ast.Call]:
    return [c for c in source.calls if flow.last_name(c.func) == "manual_seed"]


def _half_calls(source: Source) -> list[ast.Call]:
    return [
        c
        for c in source.calls
        if isinstance(c.func, ast.Attribute) and c.func.attr == "half" and not c.args and not source.dotted(c.func)
    ]


def _half_names(source: Source) -> list[ast.Attribute]:
    return [n for n in ast.walk(source.tree) if isinstance(n, ast.Attribute) and source.dotted(n) in HALF]


def autocasts(source: Source) -> list[ast.Call]:
    return [c for c in source.calls if flow.last_name(c.func) == "autocast"]


def _has_dtype(call: ast.Call) -> bool:
    return any(k.arg == "dtype" for k in call.keywords)


def _in_autocast(source: Source, node: ast.AST) -> bool:
    """float32 is no type for autocast; a name that goes there through a parameter is left to `enabled=False`."""
    return bool(autocasts(source)) and not any(
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
        if f.op in ("add", "sub", "mul", "div", "softmax", "sum", "exp", "pow", "matmul", "square") and f.args:
            edits = wraps.to_edits([wraps.method(source, f.args[0].node, ".float()")])
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
    start, end = source.starts[statement.lineno - 1], source.span(statement)[1]
    body = source.data[start:end].decode()
    for e in sorted(inserts, reverse=True):
        at = len(source.data[start : e.start].decode())
        body = body[:at] + e.text + body[at:]
    indent = source.indent(statement)
    step = "\t" if "\t" in indent else "    "
    head = f'{indent}with {source.spell("torch.autocast")}("{device}", enabled=False):{source.newline}'
    return [
        Candidate(
            "full-precision",
            "compute this statement in float32, outside autocast",
            source,
            (Edit(start, end, head + step + body),),
            order=0.35,
        )
    ]
