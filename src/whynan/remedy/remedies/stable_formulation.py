"""stable-formulation: the same value by a formula that keeps range and precision.

What it does
------------
Rewrites the formula around the birth: log(softmax(x)) to log_softmax(x), log(1 + exp(x)) to softplus(x), a log
of a sigmoid to logsigmoid, sums of exponentials to logsumexp, a hand-written norm to vector_norm. The value is
the same wherever the old form was finite.

When it applies
---------------
The birth is part of a formula that a rule knows (`remedy/rules/`).

When it does not
----------------
Where the argument itself is wrong: a negative number under a logarithm stays outside of the domain in any
formula.

Live
----
The patched function itself in the place of the original (`patched`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import finder, shifting
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import PATCHED, remedy
from whynan.remedy.rewriting import Rewrite, rewrites
from whynan.remedy.source import Source


@remedy("stable-formulation", "use the numerically stable form", safety="safe", live=(PATCHED,))
def stable_formulation(report: Report, source: Source) -> list[Candidate]:
    if report.birth is None:
        return []
    found: list[tuple[float, Rewrite]] = []
    for distance, node in roots(report, source):
        found += [(distance, r) for r in rewrites(source, node)]
    out = [
        Candidate("stable-formulation", r.title, source, r.edits, "safe", order=_order(distance, r))
        for distance, r in found
    ]
    out += together(source, [r for _, r in found])
    out += shifting.shifted(source, [s.form for s in finder.sites(source, report.birth) if s.distance < 1.5])
    return out


def _order(distance: float, rewrite: Rewrite) -> float:
    """log1p does not widen a domain: last."""
    return distance + (5.0 if rewrite.title.endswith("log1p") else 0.0)


def roots(report: Report, source: Source) -> list[tuple[float, ast.expr]]:
    """Expressions a rule may start from: the suspects, what encloses them, and what is made of the variable they go
    to."""
    assert report.birth is not None
    out: dict[ast.expr, float] = {}
    for site in finder.sites(source, report.birth):
        if site.distance >= 3:
            continue
        for node in [site.form.node, *source.ancestors(site.form.node)]:
            if isinstance(node, ast.stmt):
                break
            if isinstance(node, ast.expr):
                out[node] = min(out.get(node, 9.0), site.distance + 0.001 * len(out) / 100)
        if site.distance < 1:
            for node in uses(source, site.form.node):
                out.setdefault(node, site.distance + 0.4)
    return sorted(((d, n) for n, d in out.items()), key=lambda pair: pair[0])


def uses(source: Source, node: ast.AST, depth: int = 2) -> list[ast.expr]:
    """Expressions in later statements of the function that use the variable a statement assigns."""
    out: list[ast.expr] = []
    for later in finder.later_uses(source, source.statement(node)):
        out += [e for e in finder.expressions(later) if isinstance(e, ast.expr)]
        if depth:
            out += uses(source, later, depth - 1)
    return out


def together(source: Source, found: list[Rewrite]) -> list[Candidate]:
    """All rewrites of one function at once: a loss with two logarithms fails at the second when the first is
    cured."""
    chosen: list[Rewrite] = []
    for r in found:
        spans = [source.span(c.root.node) for c in chosen]
        start, end = source.span(r.root.node)
        apart = all(end <= a or b <= start for a, b in spans)
        if (
            apart
            and not r.title.endswith("log1p")
            and (not r.edits[1:] or all(c.edits[1:] in ((), r.edits[1:]) for c in chosen))
        ):
            chosen.append(r)
    if len(chosen) < 2:
        return []
    edits = tuple(e for r in chosen for e in r.edits)
    titles = "; ".join(dict.fromkeys(r.title for r in chosen))
    return [Candidate("stable-formulation", titles, source, edits, "safe", order=0.05)]
