"""Which values an expression can take, as far as the source says: an interval, and the evidence that its ends are met.

A rule reports an op only where there is evidence that its argument reaches the edge (a softmax underflows to 0, a relu
gives exact zeros, a mask may be empty). What is not known has no evidence, and is not reported.
"""

from __future__ import annotations

import ast
import re

from whynan.lint.file import File
from whynan.lint.meaning import LIBS, behind, constant
from whynan.lint.ranges import EMPTY_MASK, INF, NOTHING_FULFILS, POSITIVE, TINY, UNKNOWN, Handler, Range
from whynan.remedy import flow
from whynan.remedy.form import SELECTING, Form, form, same
from whynan.remedy.kinds import squared

DEPTH = 14
EPS = re.compile(r"(^|[._])(\w*_)?(eps|epsilon|tiny|smooth(ing)?|delta|jitter|resolution|floor)\d*$", re.IGNORECASE)
MASK = re.compile(
    r"(^|[.])(?!num_|n_|nb_|sum_|count_|total_)_?([a-zA-Z0-9]+_)*(masks?|valid|present|known|observed|keep|active)\d*(_float|_f|_bool)?$"
)
CONDITIONS = frozenset("eq ne gt lt ge le isfinite isin logical_and logical_or logical_not bool".split())
PYTHON = frozenset("add sub mul div neg pow max min abs len degree".split())


def range_of(file: File, f: Form | None, depth: int = 0) -> Range:
    """The range of an expression, through the assignments that reach it. Cached on the file."""
    if f is None or depth > DEPTH:
        return UNKNOWN
    cache: dict[ast.AST, Range] = file.__dict__.setdefault("_ranges", {})
    if f.node not in cache:
        cache[f.node] = UNKNOWN  # a definition that leads back to itself
        cache[f.node] = _range(file, f, depth)
    return cache[f.node]


def _range(file: File, f: Form, depth: int) -> Range:
    if f.op == "const" or f.number is not None:
        return _constant(f)
    if isinstance(f.node, ast.Attribute) and f.node.attr in ("real", "imag"):
        return Range(zero=range_of(file, form(file, f.node.value), depth + 1).zero)
    if f.op == "name":
        return _name(file, f, depth)
    if isinstance(f.node, ast.Compare):
        sides = (form(file, n) for n in (f.node.left, *f.node.comparators))
        if isinstance(f.node.ops[0], ast.Eq) and not any(names_class(file, side) for side in sides):
            return Range(0, 1, count=True)  # equal to its own extreme, or to another tensor
        return Range(0, 1, zero=NOTHING_FULFILS, count=True)
    if isinstance(f.node, ast.IfExp):
        return _either(file, f.node, depth)
    x = squared(file, f)
    if x is not None:
        r = range_of(file, x, depth + 1)
        return Range(0 if not r.positive else TINY, INF, zero=r.zero)
    if f.op in SELECTING and f.args and f.lib in LIBS:
        inner = range_of(file, f.args[0], depth + 1)
        chosen = isinstance(f.node, ast.Subscript) and selects(file, f.node.slice)
        return _chosen(file, f, inner) if chosen else inner
    value = behind(file, f)
    if value is not f:
        return range_of(file, value, depth + 1)
    handler = _handlers().get(f.op)
    if f.lib == "method" and f.args and f.args[0].op == "name" and str(f.args[0].value) in ("self", "cls"):
        return UNKNOWN  # a method of the class that is called like an op
    if handler is None or (f.lib == "python" and f.op not in PYTHON):
        return UNKNOWN
    return handler(file, f, depth + 1)


def names_class(file: File, side: Form) -> bool:
    """Whether a side of a comparison is a number, an upper-case constant or, like a loop variable, of one letter."""
    name = side.node.id if isinstance(side.node, ast.Name) else ""
    return len(name) == 1 or name.isupper() or constant(file, side) is not None


def selects(file: File, index: ast.expr) -> bool:
    """Whether an index is a condition: x[x > 0], x[mask], x[~done]. It may select nothing, or only what is fine."""
    given = form(file, index)
    f = behind(file, given)
    if isinstance(f.node, ast.Compare):
        return not any(isinstance(op, (ast.Is, ast.IsNot, ast.In, ast.NotIn)) for op in f.node.ops)
    if isinstance(f.node, ast.UnaryOp):
        return isinstance(f.node.op, ast.Invert)
    named = any(g.op == "name" and MASK.search(str(g.value)) is not None for g in (given, f))
    return named or f.op in ("binop", "mul") or f.op in CONDITIONS


def _chosen(file: File, f: Form, r: Range) -> Range:
    """x[x < 18]: within the bounds that the condition sets; the evidence for all need not hold for the chosen."""
    assert isinstance(f.node, ast.Subscript)
    lo, hi = r.lo, r.hi
    for test in _all_of(behind(file, form(file, f.node.slice)).node):
        bound = constant(file, form(file, test.comparators[0]))
        if bound is not None and same(file, form(file, test.left), f.args[0]):
            if isinstance(test.ops[0], (ast.Lt, ast.LtE)):
                hi = min(hi, bound)
            elif isinstance(test.ops[0], (ast.Gt, ast.GtE)):
                lo = max(lo, TINY if bound == 0 and isinstance(test.ops[0], ast.Gt) else bound)
    return Range(lo, hi)


def _all_of(test: ast.AST) -> list[ast.Compare]:
    """The simple comparisons that all hold where a condition does: of a, and of a & b."""
    if isinstance(test, ast.Compare):
        return [test] if len(test.ops) == 1 else []
    if isinstance(test, ast.BinOp) and isinstance(test.op, (ast.BitAnd, ast.Mult)):
        return [*_all_of(test.left), *_all_of(test.right)]
    return []


def _constant(f: Form) -> Range:
    if f.number is None:
        return UNKNOWN
    c = f.number
    return Range(c, c, zero="it is 0" if c == 0 else "")


def _name(file: File, f: Form, depth: int) -> Range:
    name = str(f.value)
    value = behind(file, f)
    if value is not f and value.op != "name":
        return range_of(file, value, depth + 1)
    known = constant(file, f)
    if known is not None and isinstance(f.node, ast.Attribute):
        return Range(known, known)
    if EPS.search(name) or name.endswith((".eps", ".tiny", ".pi", ".e")):
        return POSITIVE
    if isinstance(f.node, ast.Name):
        default = flow.default(file.scope(f.node), f.node.id)
        if isinstance(default, ast.Constant) and isinstance(default.value, (int, float)) and default.value > 0:
            return POSITIVE  # a number with a positive default is a setting
    if MASK.search(name):
        return Range(0, 1, zero=EMPTY_MASK, count=True)
    return UNKNOWN


def _either(file: File, node: ast.IfExp, depth: int) -> Range:
    a, b = (range_of(file, form(file, n), depth + 1) for n in (node.body, node.orelse))
    return Range(min(a.lo, b.lo), max(a.hi, b.hi))


def _handlers() -> dict[str, Handler]:
    """What is known about ops. Imported late: the handlers ask for the ranges of their arguments."""
    from whynan.lint.functions import HANDLERS

    return HANDLERS
