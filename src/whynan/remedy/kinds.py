"""What an expression holds (tensor, numpy array, python number), whether it can be negative, whether it counts
something.

Read from the source, and from the measured facts where the birth gives them. "unknown" is an honest answer: the
guard is
then written in the spelling that works for all of them (`+ eps`).
"""

from __future__ import annotations

import ast
import re
from typing import Literal

from whynan.case.facts import TensorFacts
from whynan.remedy import flow
from whynan.remedy.form import SELECTING, Form, form, seen
from whynan.remedy.source import Source

Kind = Literal["tensor", "numpy", "number", "unknown"]
NUMBERS = frozenset("len int float round ord".split())
NUMBER_METHODS = frozenset("item size numel ndim tolist count index get_last_lr".split())
COUNTS = frozenset("len numel size bincount histc count_nonzero unique nnz counter".split())
COUNT_NAME = re.compile(
    r"(^|_)(n|num|cnt|counts?|lens?|lengths?|sizes?|totals?|steps?|iters?|deg|degrees?|valid|mask|nnz|seen|freq|words"
    r"|tokens|batches)(_|$|\d)",
    re.IGNORECASE,
)
NONNEGATIVE = frozenset(
    "norm std var sqrt abs softmax sigmoid exp square softplus relu cosh bincount len numel count_nonzero std_mean "
    "cdist dist pairwise_distance hypot histc size".split()
)
COMPARE = (ast.Compare, ast.BoolOp)


def kind(source: Source, f: Form, facts: TensorFacts | None = None, depth: int = 0) -> Kind:
    """What an expression holds."""
    if facts is not None and facts.shape:
        return "tensor"
    if depth > 8:
        return "unknown"
    if f.op == "const":
        return "number"
    if f.lib in ("torch", "module"):
        return "tensor"
    if f.lib in ("numpy", "scipy"):
        return "numpy"
    if (
        f.lib == "math"
        or (f.op == "getitem" and _shape(f.args[0]))
        or f.op in (NUMBERS if f.lib == "python" else NUMBER_METHODS)
    ):
        return "number"
    if f.op == "name":
        return _kind_of_name(source, f, depth)
    if f.op == "getitem" or f.lib == "method" or f.op in ("neg", "unary"):
        return kind(source, f.args[0], None, depth + 1) if f.args else "unknown"
    if f.lib == "python" and f.op in source.functions:
        return _returned(source, f.op, depth)
    parts = [kind(source, a, None, depth + 1) for a in f.args]
    for sort in ("tensor", "numpy", "unknown"):
        if sort in parts:
            return sort  # type: ignore[return-value]
    return "number" if parts else "unknown"


def _returned(source: Source, function: str, depth: int) -> Kind:
    """What a function of this file returns, by its last return statement."""
    nodes = source.own_nodes(source.functions[function][0])
    values = [
        n.value
        for n in nodes
        if isinstance(n, ast.Return) and n.value is not None and not isinstance(n.value, ast.Tuple)
    ]
    return kind(source, form(source, values[-1]), None, depth + 2) if values else "unknown"


def _shape(f: Form) -> bool:
    return f.op == "size" or str(f.value or "").endswith(".shape")


def _kind_of_name(source: Source, f: Form, depth: int) -> Kind:
    behind = seen(source, f)
    if behind is not f:
        return kind(source, behind, None, depth + 1)
    if not isinstance(f.node, ast.Name):
        return "unknown"
    scope = source.scope(f.node)
    for statement, value in flow.bindings(source, scope, f.node.id):
        if value is not None and value is not f.node:
            return kind(source, form(source, value), None, depth + 2)
        if isinstance(statement, ast.For) and _numbered(statement, f.node.id):
            return "number"
    default = flow.default(scope, f.node.id)
    if isinstance(default, ast.Constant) and isinstance(default.value, (int, float)):
        return "number"
    for call in flow.callers(source, scope)[:3] if f.node.id in flow.arguments(scope) else []:
        value = flow.argument(call, scope, f.node.id)
        if value is not None:
            return kind(source, form(source, value), None, depth + 3)
    return "unknown"


def _numbered(loop: ast.For, name: str) -> bool:
    """Whether a loop gives `name` the numbers of a range or of enumerate."""
    by = flow.last_name(loop.iter.func) if isinstance(loop.iter, ast.Call) else None
    return by in ("range", "trange") or (by == "enumerate" and _first(loop.target, name))


def _first(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Tuple) and isinstance(target.elts[0], ast.Name) and target.elts[0].id == name


def counts(source: Source, f: Form, facts: TensorFacts | None = None) -> bool:
    """Whether an expression counts things: a number of elements, a sum over a mask, a length."""
    if facts is not None:
        if facts.dtype.replace("torch.", "").startswith(("int", "uint", "bool")):
            return True
        if facts.value is not None and facts.value != 0:
            return False
        if facts.min is not None and facts.min < 0 or (facts.max is not None and facts.max != int(facts.max)):
            return False
        if facts.smallest_nonzero is not None and facts.smallest_nonzero < 1:
            return False
    behind = f
    for _ in range(4):
        if f.op == "name" and COUNT_NAME.search(str(f.value).split(".")[-1]):
            return True
        while behind.op in SELECTING | {"neg", "cast", "float64", "long"} and behind.args:
            behind = behind.args[0]
        if (
            behind.op in COUNTS
            or _shape(behind)
            or (behind.op == "name" and COUNT_NAME.search(str(behind.value).split(".")[-1]))
        ):
            return True
        if behind.op == "sum" and behind.args:
            return _mask(source, behind.args[0])
        if behind.op == "mul":
            return all(a.op == "const" or counts(source, a) for a in behind.args)
        if behind.op in ("add", "sub", "max", "min", "float", "sqrt"):
            return bool(behind.args) and any(counts(source, a) for a in behind.args if a.op != "const")
        following = seen(source, behind)
        if following is behind:
            return False
        behind = following
    return False


def _mask(source: Source, f: Form) -> bool:
    inner = seen(source, f)
    while inner.op in SELECTING | {"long", "unary"} and inner.args:
        inner = seen(source, inner.args[0])
    name = str(inner.value or f.value or "").split(".")[-1]
    return (
        isinstance(inner.node, COMPARE)
        or inner.op in ("eq", "ne", "gt", "lt", "ge", "le", "isfinite", "isnan", "ones")
        or bool(re.search(r"mask|valid|present|known|observed|labels_on|is_|has_|keep|active|adj", name))
    )


def nonnegative(source: Source, f: Form, facts: TensorFacts | None = None) -> bool:
    """Whether an expression cannot be negative, by what it is or by what was measured."""
    if facts is not None and facts.min is not None:
        return facts.min >= 0
    f = seen(source, f)
    if f.number is not None:
        return f.number >= 0
    if f.op in NONNEGATIVE or f.op in COUNTS:
        return True
    if f.op in ("sum", "mean", "max", "min", "clone", "detach") or f.op in SELECTING:
        return bool(f.args) and (nonnegative(source, f.args[0]) or (f.op == "sum" and _mask(source, f.args[0])))
    if f.op in ("add", "mul", "div"):
        return (f.op == "mul" and _square(f)) or all(nonnegative(source, a) for a in f.args)
    return squared(source, f) is not None


def _square(f: Form) -> bool:
    return ast.dump(f.args[0].node) == ast.dump(f.args[1].node)


def squared(source: Source, f: Form) -> Form | None:
    """x of x**2, x.pow(2), x*x, x.square(); None otherwise."""
    if f.op == "square" and f.args:
        return f.args[0]
    if f.op == "pow" and len(f.args) == 2 and f.args[1].number == 2:
        return f.args[0]
    if f.op == "mul" and len(f.args) == 2 and _square(f):
        return f.args[0]
    return None


def simple(node: ast.AST) -> bool:
    """Whether an expression may be written twice without doing much work twice."""
    return not any(
        isinstance(n, (ast.Call, ast.Lambda, ast.Yield, ast.Await, ast.NamedExpr, ast.GeneratorExp))
        for n in ast.walk(node)
    )
