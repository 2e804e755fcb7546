"""guard-empty: make the empty case defined.

What it does
------------
Divides by at least one, takes the sum over max(count, 1), uses the deviation without correction for one
element.

When it applies
---------------
A reduction ran over no (or one) element, all targets were ignored, a count or a length was zero. Other batches
give the same value as before.

When it does not
----------------
Where emptiness is the error: a filter that removes everything, a data set that was not found.

Live
----
The mean of nothing is 0, a divisor of zero is one, at that line only (`op-guard`); or the patched function
itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.case.facts import Report
from whynan.remedy import calls, finder
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.form import Form
from whynan.remedy.guarding import guarded
from whynan.remedy.match import Match
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

POINTWISE = (
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
)


@remedy("guard-empty", "make the empty case defined", live=("op-guard",))
def guard_empty(report: Report, source: Source) -> list[Candidate]:
    out = [*guarded(report, source, "guard-empty"), *_leftovers(report, source)]
    for site in finder.sites(source, report.birth) if report.birth else []:
        if site.distance < 3:
            for i, (title, edits) in enumerate(_reductions(source, site.form)):
                order = 10 * site.distance + 0.2 + i * 0.1
                out.append(Candidate("guard-empty", title, source, edits, order=order))
    return out


LEAVING = frozenset("scatter scatter_reduce index_put index_reduce index_copy max amax min amin logsumexp".split())
"""Ops that may leave the infinity that a tensor was filled with where there was nothing to write or to choose."""


def _leftovers(report: Report, source: Source) -> Iterator[Candidate]:
    """`y = x.scatter_reduce(...)` over a fill of -inf: what stayed empty becomes 0."""
    for placed, step in zip(report.path, report.path[1:]):
        base = step.op.rpartition("::")[2].partition(".")[0].strip("_")
        if placed.state != "placed" or step.state != "carried" or base not in LEAVING:
            continue
        for call in source.calls:
            if call.lineno != step.line or " ".join(source.segment(call).split()) != step.expression:
                continue
            edits = _emptied(source, source.statement(call), call)
            if edits:
                yield Candidate("guard-empty", "what stayed empty counts as 0", source, edits, order=0.1)


def _emptied(source: Source, statement: ast.stmt, call: ast.Call) -> tuple[Edit, ...]:
    if not source.alone(statement) or getattr(statement, "value", None) is not call:
        return ()
    text = source.segment(call)
    if isinstance(statement, ast.Return):
        second = f"{source.indent(statement)}return filled.masked_fill(filled.isinf(), 0.0)"
        return (source.replace(statement, f"filled = {text}{source.newline}{second}"),)
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        name = statement.targets[0].id
        edit = source.insert_after(statement, f"{name} = {name}.masked_fill({name}.isinf(), 0.0)")
        return (edit,) if edit is not None else ()
    return ()


def _reductions(source: Source, f: Form) -> Iterator[tuple[str, tuple[Edit, ...]]]:
    if not isinstance(f.node, ast.Call):
        return
    if f.op in ("std", "var", "std_mean", "var_mean", "cov"):
        yield from _uncorrected(source, f)
    elif f.op == "mean" and f.args and f.lib in ("torch", "method"):
        yield from _mean(source, f)
    elif f.op in ("cross_entropy", "nll_loss") and len(f.args) > 1:
        yield from _classification(source, f)
    elif f.op in POINTWISE and len(f.args) > 1:
        yield from _pointwise(source, f)
    elif f.op == "ctc_loss":
        yield (
            "infeasible alignments count as zero",
            (calls.set_option(source, f.ctor or f.node, "zero_infinity", "True"),),
        )


def _uncorrected(source: Source, f: Form) -> Iterator[tuple[str, tuple[Edit, ...]]]:
    assert isinstance(f.node, ast.Call)
    if f.lib == "numpy":
        if "ddof" in f.kw:
            yield "the deviation of one element is 0", (calls.set_option(source, f.node, "ddof", "0"),)
        return
    name = "unbiased" if "unbiased" in f.kw else "correction"
    if isinstance(f.arg(1), Form) and f.args[1].value in (True, False):
        return
    value = "False" if name == "unbiased" else "0"
    yield "the deviation of one element is 0, not 0/0", (calls.set_option(source, f.node, name, value),)


def _mean(source: Source, f: Form) -> Iterator[tuple[str, tuple[Edit, ...]]]:
    """x.mean() -> x.sum() / max(x.numel(), 1); x.mean(dim=1) likewise with its size."""
    assert isinstance(f.node, ast.Call)
    x, match = f.args[0], Match(source, f)
    if not match.cheap(x.node) or "\n" in source.segment(x.node):
        return
    atom = source.atom(x.node)
    rest = [a for a in f.node.args if a is not x.node] + [k.value for k in f.node.keywords]
    dim = match.option(f, 1, "dim") or match.option(f, 1, "axis")
    if rest and (dim is None or not dim.lstrip("-").isdigit()):
        return
    given = ", ".join(
        [source.segment(a) for a in f.node.args if a is not x.node]
        + [f"{k.arg}={source.segment(k.value)}" for k in f.node.keywords]
    )
    size = f"{atom}.shape[{dim}]" if dim else f"{atom}.numel()"
    text = f"{atom}.sum({given}) / max({size}, 1)"
    parent = source.parents.get(f.node)
    safe = isinstance(parent, (ast.Return, ast.Assign, ast.Call, ast.keyword)) and not (
        isinstance(parent, ast.Call) and parent.func is f.node
    )
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, (ast.Add, ast.Sub)):
        safe = True
    yield "the mean over nothing is 0", (source.replace(f.node, text if safe else f"({text})"),)


def _classification(source: Source, f: Form) -> Iterator[tuple[str, tuple[Edit, ...]]]:
    """The sum of the token losses over the number of targets that count, at least one."""
    assert isinstance(f.node, ast.Call)
    target, match = f.args[1], Match(source, f)
    if not match.cheap(target.node) or "\n" in source.segment(target.node):
        return
    reduction = f.kw.get("reduction")
    if reduction is not None and reduction.value != "mean":
        return
    ignore = source.segment(f.kw["ignore_index"].node) if "ignore_index" in f.kw else "-100"
    if f.ctor is None:
        call = f'{source.segment(f.node.func)}({calls.without_option(source, f.node, "reduction")}, reduction="sum")'
    else:
        extra = ", ".join(f"{k}={source.segment(v.node)}" for k, v in f.kw.items() if k != "reduction")
        given = ", ".join(p for p in (calls.without_option(source, f.node, ""), extra) if p)
        call = f'{source.spell("torch.nn.functional." + f.op)}({given}, reduction="sum")'
    if '"' not in source.text and "'" in source.text:
        call = call.replace('"sum"', "'sum'")
    text = f"{call} / ({source.segment(target.node)} != {ignore}).sum().clamp(min=1)"
    parent = source.parents.get(f.node)
    safe = isinstance(parent, (ast.Return, ast.Assign, ast.Call, ast.keyword))
    yield "a batch without targets has loss 0", (source.replace(f.node, text if safe else f"({text})"),)


def _pointwise(source: Source, f: Form) -> Iterator[tuple[str, tuple[Edit, ...]]]:
    assert isinstance(f.node, ast.Call)
    target, match = f.args[1], Match(source, f)
    if f.ctor is not None or "reduction" in f.kw or not match.cheap(target.node) or "\n" in source.segment(target.node):
        return
    call = f'{source.segment(f.node.func)}({calls.without_option(source, f.node, "reduction")}, reduction="sum")'
    text = f"{call} / max({source.atom(target.node)}.numel(), 1)"
    parent = source.parents.get(f.node)
    safe = isinstance(parent, (ast.Return, ast.Assign, ast.Call, ast.keyword))
    yield "the loss over nothing is 0", (source.replace(f.node, text if safe else f"({text})"),)
