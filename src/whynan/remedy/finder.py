"""From a birth to the expressions of the source that it concerns, nearest first.

With a column range the expression is the one that ran; without it every call and operator of the statement that can
run
the birth op is a suspect. From there the search follows assignments, arguments at call sites, functions that are
called,
and, where the bad value came from the data, the initialization or the optimizer's settings, the code that made it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from whynan.case.facts import Birth, TensorFacts
from whynan.remedy import flow
from whynan.remedy.emits import born_in
from whynan.remedy.form import Form, form
from whynan.remedy.source import FUNCTIONS, Source

REACH = 3
"""How many assignments or calls a search goes up from the birth; farther is guesswork."""
HYPER = ("lr", "betas", "eps", "momentum", "alpha", "rho", "weight_decay")
PRODUCERS = ("__getitem__", "__iter__", "__next__", "collate", "collate_fn", "transform", "augment")


@dataclass(frozen=True, eq=False)
class Site:
    """An expression that may be concerned. `distance` 0: the birth itself; `exact`: its column range or its op says
    so."""

    form: Form
    distance: float
    exact: bool = False
    facts: tuple[TensorFacts, ...] = ()  # of the op's inputs, at the birth itself only

    def fact(self, index: int) -> TensorFacts | None:
        return self.facts[index] if index < len(self.facts) else None


def expressions(node: ast.AST) -> Iterator[Any]:
    """Expressions below a node that may fail, inner ones after outer ones; nested statements and functions are left
    out."""
    stack: list[ast.AST] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, (ast.Call, ast.BinOp, ast.AugAssign)):
            yield item
        inner = [c for c in ast.iter_child_nodes(item) if not (isinstance(c, ast.stmt) and item is not node)]
        inner = [c for c in inner if not isinstance(c, (ast.stmt, ast.excepthandler))]
        stack += reversed(inner)


def statement_at(source: Source, line: int) -> ast.stmt | None:
    """The innermost statement that covers a line."""
    covering = [
        n for n in ast.walk(source.tree) if isinstance(n, ast.stmt) and n.lineno <= line <= (n.end_lineno or n.lineno)
    ]
    return max(covering, key=lambda n: (n.lineno, -(n.end_lineno or 0)), default=None)


def within(source: Source, birth: Birth) -> list[ast.expr]:
    """The expressions inside the birth's column range, the outermost first; all of the statement without one."""
    statement = statement_at(source, birth.line or 0)
    if statement is None:
        return []
    everything = list(expressions(statement))
    if birth.column is None or birth.end_column is None or not birth.line:
        return [e for e in everything if e.lineno <= birth.line <= (e.end_lineno or e.lineno)] if birth.line else []
    start, end = (birth.line, birth.column), (birth.end_line or birth.line, birth.end_column)
    return [e for e in everything if start <= flow.position(e) and (e.end_lineno, e.end_col_offset) <= end]


def sites(source: Source, birth: Birth) -> list[Site]:
    """Suspects for the birth, nearest first; cached on the source."""
    cache = source.__dict__.setdefault("_sites", {})
    if birth not in cache:
        cache[birth] = sorted(_sites(source, birth), key=lambda s: (s.distance, not s.exact))
    return cache[birth]


def _sites(source: Source, birth: Birth) -> list[Site]:
    family = born_in(birth)
    inside = within(source, birth)
    out: dict[ast.AST, Site] = {}
    facts = birth.inputs if birth.phase == "forward" else ()
    matching = [e for e in inside if form(source, e).op in family]
    certain = len(matching) == 1 or birth.column is not None
    for at, e in enumerate(matching):  # the outermost is the one that ran
        out[e] = Site(form(source, e), 0.01 * at, True, facts if at == 0 and certain else ())
    for e in inside:
        out.setdefault(e, Site(form(source, e), 0.5))
    statement = statement_at(source, birth.line or 0)
    if statement is not None:
        for e in expressions(statement):
            f = form(source, e)
            out.setdefault(e, Site(f, 0.6 if f.op in family else 1.0))
        for e in downstream(source, statement) if birth.phase in ("data", "init") else ():
            out.setdefault(e, Site(form(source, e), 1.2))
        for e, distance in upstream(source, birth, statement):
            f = form(source, e)
            out.setdefault(e, Site(f, distance - (0.3 if f.op in family else 0.0)))
    return list(out.values())


def downstream(source: Source, statement: ast.stmt) -> Iterator[Any]:
    """Expressions of later statements in the function that use what the statement assigns."""
    for later in later_uses(source, statement):
        yield from expressions(later)


def later_uses(source: Source, statement: ast.stmt) -> Iterator[ast.stmt]:
    """The simple statements after a statement, in its function, that name what it assigns."""
    names = {t.id for t, _ in flow.targets(statement) if isinstance(t, ast.Name)}
    for later in source.own_nodes(source.scope(statement)):
        if not isinstance(later, ast.stmt) or isinstance(later, (*flow.BLOCKS, *FUNCTIONS)):
            continue
        uses = any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(later))
        if uses and flow.position(later) > flow.position(statement):
            yield later


def upstream(source: Source, birth: Birth, statement: ast.stmt) -> list[tuple[ast.expr, float]]:
    """Expressions whose values may have led to the statement, with how many steps away they are."""
    found: list[tuple[ast.expr, float]] = []
    level: list[ast.AST] = [statement, *_sources_of_phase(source, birth, statement)]
    known = set(level)
    for depth in range(1, REACH + 1):
        following: list[ast.AST] = []
        for node in level:
            if node is not statement:
                found += [(e, depth + 0.0) for e in expressions(node)]
            for up in feeders(source, node):
                if up not in known:
                    known.add(up)
                    following.append(up)
        level = following
    return found


def feeders(source: Source, node: ast.AST) -> Iterable[ast.AST]:
    """What the values used in a statement come from: assignments, attributes, functions called, arguments of
    callers."""
    scope = source.scope(node)
    for use in ast.walk(node):
        if isinstance(use, ast.Name) and isinstance(use.ctx, ast.Load):
            local = flow.bindings(source, scope, use.id)
            for statement, _ in local:
                if flow.position(statement) <= flow.position(use) or scope is not source.tree:
                    yield statement
            if not local and scope is not source.tree and use.id not in flow.arguments(scope):
                yield from (s for s, _ in flow.bindings(source, source.tree, use.id))
            if use.id in flow.arguments(scope):
                yield from _given(source, scope, use.id)
        elif isinstance(use, ast.Attribute) and isinstance(use.ctx, ast.Load):
            value = flow.attribute(source, use)
            if value is not None:
                yield source.statement(value)
        if isinstance(use, ast.Call):
            yield from _bodies(source, use)


def _given(source: Source, function: ast.AST, name: str) -> Iterable[ast.AST]:
    for call in flow.callers(source, function)[:4]:
        value = flow.argument(call, function, name)
        if value is not None:
            yield source.statement(value)


def _bodies(source: Source, call: ast.Call) -> Iterable[ast.AST]:
    name = flow.last_name(call.func)
    if name is None or source.dotted(call.func):
        return
    for function in source.functions.get(name, [])[:3]:
        yield from body(source, function)
    for value in call.args + [k.value for k in call.keywords]:
        if isinstance(value, ast.Name) and value.id in source.functions:
            yield from body(source, source.functions[value.id][0])


def body(source: Source, function: ast.AST) -> list[ast.stmt]:
    """The simple statements of a function, functions inside it included (a schedule is often a closure)."""
    compound = (*flow.BLOCKS, *FUNCTIONS, ast.ClassDef)
    return [
        n
        for n in ast.walk(function)
        if isinstance(n, ast.stmt) and (not isinstance(n, compound) or isinstance(n, ast.If))
    ]


def _sources_of_phase(source: Source, birth: Birth, statement: ast.stmt) -> list[ast.AST]:
    """Where values of the phase are made, when the line of the birth does not lead there by itself."""
    out: list[ast.AST] = []
    if birth.phase == "optimizer":
        out += hyper_statements(source)
    if birth.phase == "data":
        for name in PRODUCERS:
            for function in source.functions.get(name, []):
                out += body(source, function)
        for function in [f for fs in source.functions.values() for f in fs if _yields(source, f)]:
            out += body(source, function)
    return out


def _yields(source: Source, function: ast.AST) -> bool:
    return any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in source.own_nodes(function))


def hyper_statements(source: Source) -> list[ast.AST]:
    """Statements that set an optimizer's lr, betas, ... while training, and the schedules handed to LambdaLR."""
    out: list[ast.AST] = []
    for node in ast.walk(source.tree):
        for target, _ in flow.targets(node):
            if (
                isinstance(target, ast.Subscript)
                and isinstance(target.slice, ast.Constant)
                and target.slice.value in HYPER
            ):
                out.append(node)
    for call in source.calls:
        if flow.last_name(call.func) in ("LambdaLR", "MultiplicativeLR"):
            out.append(source.statement(call))
            for value in [*call.args[1:], *[k.value for k in call.keywords]]:
                out += _schedule(source, value)
    return out


def _schedule(source: Source, value: ast.expr) -> list[ast.stmt]:
    name = flow.last_name(value.func if isinstance(value, ast.Call) else value)
    return [s for f in source.functions.get(name or "", []) for s in body(source, f)]


def schedule_values(source: Source) -> list[ast.expr]:
    """Expressions that compute a learning rate: `group["lr"] = ...`, what a schedule of LambdaLR returns."""
    out: list[ast.expr] = []
    for node in hyper_statements(source):
        if isinstance(node, ast.Return) and node.value is not None:
            out.append(node.value)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            key = node.targets[0].slice
            out += [node.value] if isinstance(key, ast.Constant) and key.value == "lr" else []
    for call in source.calls:
        if flow.last_name(call.func) == "LambdaLR":
            given = [*call.args[1:], *[k.value for k in call.keywords]]
            out += [v.body for v in given if isinstance(v, ast.Lambda)]
    return [v for v in out if not isinstance(v, (ast.Constant, ast.Name))]
