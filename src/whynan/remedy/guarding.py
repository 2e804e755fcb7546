"""Candidates from the table of guards: at the birth, at every like op of the function, at every like op of the
file."""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import finder
from whynan.remedy.candidate import Candidate
from whynan.remedy.finder import Site
from whynan.remedy.form import Form, form
from whynan.remedy.guards import Guard, fussy, guards
from whynan.remedy.source import Source
from whynan.remedy.wraps import to_edits

FAR = 8
"""Suspects beyond the birth's own statement that are worth a trial."""
HOP, HOP_ELSEWHERE = 6.0, 1.5
"""What a step away from the birth costs in rank. In data, init and optimizer the line of the birth is often not the
cause's."""


def is_half(report: Report) -> bool:
    """Whether the birth op worked on float16."""
    facts = (*report.birth.inputs, *report.birth.outputs) if report.birth else ()
    return any("float16" in f.dtype and "bfloat16" not in f.dtype for f in facts)


def guarded(report: Report, source: Source, class_: str) -> list[Candidate]:
    """The candidates of one remedy class; cached, because clamp, add-eps and guard-empty share the search."""
    cache = source.__dict__.setdefault("_guarded", {})
    if report.birth not in cache:
        cache[report.birth] = _all(report, source)
    return [c for c in cache[report.birth] if c.class_ == class_]


def _all(report: Report, source: Source) -> list[Candidate]:
    out: list[Candidate] = []
    half, far = is_half(report), 0
    hop = HOP if report.birth and report.birth.phase in ("forward", "backward") else HOP_ELSEWHERE
    for site in finder.sites(source, report.birth) if report.birth else []:
        if not fussy(site.form):
            continue
        if site.distance >= 1:
            far += 1
            if far > FAR:
                break
        for guard in guards(source, site.form, site.facts, half):
            out += _candidates(source, site, guard, half, hop)
    return out


def _candidates(source: Source, site: Site, guard: Guard, half: bool, hop: float) -> list[Candidate]:
    order = guard.order + hop * max(0.0, site.distance - (0.5 if site.exact else 0.0))
    one = Candidate(guard.class_, guard.title, source, to_edits(guard.wraps), "unsafe", order=order)
    out, seen = [one], {one.edits}
    for step, (forms, words) in enumerate(_scopes(source, site)):
        same = [g for f in forms for g in guards(source, f, (), half)]
        wraps = [w for g in same if g.variant == guard.variant for w in g.wraps]
        edits = to_edits([*guard.wraps, *wraps])
        if edits not in seen:
            seen.add(edits)
            title = f"{guard.title}, and likewise {words}"
            out.append(Candidate(guard.class_, title, source, edits, "unsafe", order=order + 0.35 + 0.1 * step))
    return out


def _scopes(source: Source, site: Site) -> list[tuple[list[Form], str]]:
    """Other places that may need the same guard, from the narrowest choice to the widest."""
    if site.distance >= 1.5:
        return []
    statement, function = source.statement(site.form.node), source.function(site.form.node)
    everywhere, names = like(source, source.tree, site.form), _variables(site.form)
    scopes = [(like(source, statement, site.form), "in the same statement")]
    if function is not None:
        scopes.append((like(source, function, site.form), f"in {function.name}()"))
    if len(names) == 1:
        namesakes = [f for f in everywhere if _variables(f) & names]
        scopes.append((namesakes, f"elsewhere for `{next(iter(names))}`"))
    return [*scopes, (everywhere, "wherever the file does the same")]


def _variables(f: Form) -> set[str]:
    """Names of the variables and attributes in the arguments of an op, without those of modules and functions."""
    nodes = [n for a in f.args for n in ast.walk(a.node)]
    called = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
    fields = [n for n in nodes if isinstance(n, ast.Attribute) and id(n) not in called]
    owners = {id(n.value) for n in fields}
    return {n.attr for n in fields} | {
        n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in called | owners and n.id not in MODULES
    }


MODULES = ("torch", "F", "nn", "np", "numpy", "math")


def like(source: Source, scope: ast.AST, f: Form) -> list[Form]:
    """Forms of the same op below a node."""
    nodes = [n for n in ast.walk(scope) if isinstance(n, (ast.Call, ast.BinOp, ast.AugAssign))]
    return [g for n in nodes if (g := form(source, n)).op == f.op]  # type: ignore[arg-type]
