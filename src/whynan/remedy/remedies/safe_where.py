"""safe-where: choose the input before the function, not only the output after it (the double where).

What it does
------------
Gives the unselected branch of `torch.where` a harmless input: `where(c, f(where(c, x, safe)), other)`. Values
do not change.

When it applies
---------------
`torch.where` computes both branches; the derivative of the one not taken is 0 * inf = NaN, although its value
is never used.

When it does not
----------------
Where the selected branch is the one that is not finite: guard the op itself.

Live
----
The patched function itself in the place of the original (`patched`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.case.facts import Report
from whynan.remedy import finder, flow
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.form import form
from whynan.remedy.guarding import guarded
from whynan.remedy.registry import PATCHED, remedy
from whynan.remedy.source import Source

INSIDE = {ast.Gt: 1.0, ast.GtE: 1.0, ast.Lt: -0.5, ast.LtE: -0.5, ast.NotEq: 1.0, ast.Eq: 0.0}


OUTSIDE = {ast.Gt: -0.5, ast.GtE: -0.5, ast.Lt: 1.0, ast.LtE: 1.0, ast.NotEq: 0.0, ast.Eq: 1.0}


@remedy("safe-where", "guard the branch that is not taken", live=(PATCHED,))
def safe_where(report: Report, source: Source) -> list[Candidate]:
    out = guarded(report, source, "safe-where")
    if report.birth is None:
        return out
    suspects = [s.form.node for s in finder.sites(source, report.birth) if s.distance < 1.5]
    for call in source.calls:
        f = form(source, call)
        if f.op != "where" or f.lib not in ("torch", "method"):
            continue
        args = list(f.args) if f.lib == "torch" else [f.args[1], f.args[0], *f.args[2:]] if len(f.args) > 2 else []
        if len(args) < 3 or not any(_feeds(source, s, call) for s in suspects):
            continue
        out += list(_doubled(source, call, args[0].node, args[1].node, args[2].node))
    return out


def _feeds(source: Source, suspect: ast.AST, call: ast.Call) -> bool:
    """Whether a suspect is inside the call, or in the assignment of a name that is an argument of it."""
    if call in (suspect, *source.ancestors(suspect)):
        return True
    names = {t.id for t, _ in flow.targets(source.statement(suspect)) if isinstance(t, ast.Name)}
    return source.scope(suspect) is source.scope(call) and any(
        isinstance(n, ast.Name) and n.id in names for n in ast.walk(call)
    )


def _doubled(source: Source, call: ast.Call, cond: ast.expr, yes: ast.expr, no: ast.expr) -> Iterator[Candidate]:
    branches = [(_value(source, b), first) for b, first in ((yes, True), (no, False))]
    choices = []
    for value, first in branches:
        if value is not None:
            edits = _guard_branch(source, cond, value, first)
            if edits:
                choices.append(edits)
    title = "give the branch that is not taken a harmless input"
    for i, edits in enumerate(choices):
        yield Candidate("safe-where", title, source, edits, "safe", order=0.3 + 0.1 * i)
    if len(choices) == 2:
        yield Candidate("safe-where", title + " (both branches)", source, choices[0] + choices[1], "safe", order=0.25)


def _value(source: Source, branch: ast.expr) -> ast.expr | None:
    """The expression of a branch, behind a name if need be; None for constants and plain names."""
    value = flow.definition(source, branch) if isinstance(branch, ast.Name) else branch
    return value if value is not None and any(isinstance(n, (ast.Call, ast.BinOp)) for n in ast.walk(value)) else None


def _guard_branch(source: Source, cond: ast.expr, value: ast.expr, first: bool) -> tuple[Edit, ...]:
    """Edits that put where(cond, x, safe) (or where(cond, safe, x)) for x inside the branch."""
    compare = flow.definition(source, cond) if isinstance(cond, ast.Name) else cond
    if not isinstance(compare, ast.Compare) or len(compare.ops) != 1:
        return ()
    x = compare.left
    if not isinstance(x, (ast.Name, ast.Attribute)):
        return ()
    inside = [n for n in ast.walk(value) if isinstance(n, type(x)) and source.segment(n) == source.segment(x)]
    if not inside or (isinstance(x, ast.Name) and not flow.unchanged(source, x, value, cond)):
        return ()
    safe = _safe_value(source, compare, first)
    test = source.segment(compare)
    where, text = source.spell("torch.where"), source.segment(x)
    if "\n" in test:
        return ()
    new = f"{where}({test}, {text}, {safe})" if first else f"{where}({test}, {safe}, {text})"
    if len(inside) == 1:
        return (source.replace(inside[0], new),)
    name = _fresh(source, text, first)
    line = source.insert_before(source.statement(value), f"{name} = {new}")
    return (line, *[source.replace(n, name) for n in inside]) if line else ()


def _fresh(source: Source, text: str, first: bool) -> str:
    base = text.split(".")[-1] + ("_safe" if first else "_other")
    return base if base not in source.text else base + "_2"


def _safe_value(source: Source, compare: ast.Compare, first: bool) -> str:
    shift = (INSIDE if first else OUTSIDE).get(type(compare.ops[0]), 1.0)
    limit = form(source, compare.comparators[0]).number
    if limit is not None:
        return f"{limit + shift:g}" if limit + shift != int(limit + shift) else f"{limit + shift:.1f}"
    return f"{source.atom(compare.comparators[0])} {'+' if shift >= 0 else '-'} {abs(shift)}"
