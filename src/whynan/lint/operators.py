"""Ranges of sums, differences, products, quotients and powers, from those of their operands."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from whynan.lint.file import File
from whynan.lint.meaning import behind, constant, through
from whynan.lint.parts import unpacked
from whynan.lint.ranges import ENDS_COINCIDE, INF, IS_EXTREME, POSITIVE, SOFT, TINY, UNKNOWN, Range
from whynan.lint.tensors import TENSOR_METHODS
from whynan.lint.values import range_of
from whynan.remedy.form import SELECTING, Form, form, same


def add(file: File, f: Form, depth: int) -> Range:
    a, b = (range_of(file, x, depth) for x in f.args[:2])
    both = a.nonnegative and b.nonnegative and a.zero and b.zero and not {a.zero, b.zero} & SOFT
    lo, hi = a.lo + b.lo, a.hi + b.hi
    return Range(lo, hi, zero=a.zero if both else "", count=a.count and b.count)


def sub(file: File, f: Form, depth: int) -> Range:
    if len(f.args) < 2:
        return UNKNOWN
    a, b = (range_of(file, x, depth) for x in f.args[:2])
    left, right = (_unwrapped(file, x) for x in f.args[:2])
    lo, hi = a.lo - b.hi, a.hi - b.lo
    if _extreme(left, "max", right, "min", file) and "noise" not in file.segment(left.args[0].node):
        return Range(0, INF, zero="all elements may be equal")
    if left.op not in EXTREMES and right.op in EXTREMES and right.args and _about(file, f.args[0], right):
        return Range(-INF, 0, top="the largest") if right.op != "min" else Range(0, INF, zero=IS_EXTREME)
    if left.op in EXTREMES and right.op not in EXTREMES and left.args and _about(file, f.args[1], left):
        return Range(0, INF, zero=IS_EXTREME) if left.op != "min" else Range(-INF, 0, top="the smallest")
    known = constant(file, f)
    if known is not None:
        return Range(known, known, zero="it is 0" if known == 0 else "")
    if ends(f) and (_taken_as_tensor(file, f) or all(_measured(file, x) for x in f.args[:2])):
        return Range(zero=ENDS_COINCIDE)
    if a.lo == a.hi and a.hi > 0 and b.hi == a.hi and b.top:
        return Range(0, hi, zero=b.top)
    if a.lo == a.hi == 1 and b.lo >= 0 and b.top and b.hi == 1:
        return Range(0, 1, zero=b.top, top=b.zero)
    return Range(lo if lo == lo else -INF, hi if hi == hi else INF)


def _unwrapped(file: File, f: Form) -> Form:
    """Behind names and selections, `.values` of a max along a dimension, and `top, _ = x.max(dim)`."""
    f = through(file, f)
    if f.op == "name" and isinstance(f.node, ast.Attribute) and f.node.attr == "values":
        return through(file, form(file, f.node.value))
    pair = unpacked(file, f.node) if f.op == "name" else None
    if pair is not None and form(file, pair).op in ("max", "min"):
        return form(file, pair)
    return f


EXTREMES = ("max", "min", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")


def _extreme(left: Form, a: str, right: Form, b: str, file: File) -> bool:
    return left.op == a and right.op == b and bool(left.args and right.args) and same(file, left.args[0], right.args[0])


def _about(file: File, f: Form, extreme: Form) -> bool:
    """Whether an extreme is taken of the same expression."""
    inner = extreme.args[0]
    return (
        same(file, f, inner)
        or same(file, _plain(f), _plain(inner))
        or same(file, through(file, f), through(file, inner))
    )


def _plain(f: Form) -> Form:
    """Without detach, float and other selections."""
    while f.op in SELECTING and f.op != "getitem" and f.args:
        f = f.args[0]
    return f


ENDS = re.compile(
    r"(?P<stem>.*?)(?P<side>2|1|max|min|end|start|stop|begin|high|low|hi|lo|right|left|bottom|top|upper|lower)$"
)
OPPOSITE = {"2": "1", "max": "min", "end": "start", "stop": "start", "high": "low", "hi": "lo",
            "right": "left", "bottom": "top", "upper": "lower"}  # fmt: skip


SETTING = re.compile(  # qmax - qmin, beta_end - beta_start: ends that somebody chose
    r"(q|quant|lr|beta|sigma|noise|temp|temperature|alpha|gamma|f|freq|frequency|snr|num|n|v|val|value|d|clip|n_levels)_?$"
)


def ends(f: Form) -> bool:
    """Whether a difference is x2 - x1, end - start, high - low: from the one end of something to the other."""
    a, b = (_plain(x) for x in f.args[:2])
    if not (isinstance(a.node, ast.Name) and isinstance(b.node, ast.Name)):
        return False  # an attribute is a setting
    last, first = ENDS.match(str(a.value).lower()), ENDS.match(str(b.value).lower())
    if last is None or first is None or last["stem"] != first["stem"]:
        return False
    return OPPOSITE.get(last["side"]) == first["side"] and SETTING.match(last["stem"]) is None


MEASURED = frozenset(
    "unbind chunk split tensor_split percentile quantile nanquantile aminmax min max argmin argmax".split()
)


def _measured(file: File, end: Form) -> bool:
    """Whether an end comes from data: a part of a tensor, a quantile, an extreme; a number that was set does not."""
    value = behind(file, end)
    pair = unpacked(file, end.node) if value.op == "name" else None
    if pair is not None:
        value = form(file, pair)
        if isinstance(pair, (ast.Name, ast.Subscript, ast.Attribute)):
            return BOX.search(ast.unparse(pair)) is not None
    if isinstance(value.node, ast.Subscript):
        return not isinstance(value.node.slice, ast.Constant) or BOX.search(ast.unparse(value.node)) is not None
    return value.lib != "math" and value.op in MEASURED and value.lib != "python"


def _taken_as_tensor(file: File, f: Form) -> bool:
    """(end - start).unsqueeze(1): no number has such a method."""
    parent = file.parents.get(f.node)
    return isinstance(parent, ast.Attribute) and parent.attr in TENSOR_METHODS


BOX = re.compile(r"box|rect|roi|span|\bdets?\b|anchor|proposal", re.IGNORECASE)


def mul(file: File, f: Form, depth: int) -> Range:
    a, b = (range_of(file, x, depth) for x in f.args[:2])
    if a.nonnegative and b.nonnegative:
        hi = a.hi * b.hi if 0 < a.hi < INF and 0 < b.hi < INF else INF
        lo = TINY if a.positive and b.positive else 0.0
        return Range(lo, hi, zero=a.zero or b.zero, count=a.count and b.count)
    for x, other in zip(f.args[:2], (b, a)):
        factor = constant(file, x)
        if factor is not None and factor < 0:
            scaled = Range(-_times(other.hi, -factor), -_times(other.lo, -factor), other.zero, other.bottom, other.top)
            return scaled if factor == -1 else replace(scaled, top="", bottom="")
    for sign, other in ((a, b), (b, a)):
        if sign.hi < 0 and other.nonnegative:
            return Range(-INF, 0, zero=other.zero)
    masked = a.zero if a.count else b.zero if b.count else ""
    return Range(zero=masked)  # what is multiplied by a mask is 0 where the mask is


def _times(bound: float, factor: float) -> float:
    return bound * factor if bound else 0.0


def matmul(file: File, f: Form, depth: int) -> Range:
    """Unit vectors have products between -1 and 1, up to rounding."""
    if len(f.args) == 2 and all(through(file, a).op == "normalize" for a in f.args):
        return Range(-1, 1, top="equal vectors have product 1", bottom="opposite vectors have product -1")
    return UNKNOWN


def div(file: File, f: Form, depth: int) -> Range:
    a, b = (range_of(file, x, depth) for x in f.args[:2])
    if a.nonnegative and b.nonnegative:
        hi = a.hi / b.lo if b.lo > TINY else INF
        return Range(TINY if a.positive else 0, hi, zero=a.zero, top=a.top if hi < INF else "")
    if a.hi <= 0 and b.nonnegative:
        return Range(-INF, 0, zero=a.zero)
    return Range(zero=a.zero)


def neg(file: File, f: Form, depth: int) -> Range:
    return _flip(range_of(file, f.args[0], depth))


def _flip(r: Range) -> Range:
    return Range(-r.hi, -r.lo, zero=r.zero, top=r.bottom, bottom=r.top)


def pow(file: File, f: Form, depth: int) -> Range:
    r, p = range_of(file, f.arg(0), depth), constant(file, f.arg(1))
    if r.nonnegative and p is not None and p > 0:
        hi = r.hi**p if r.hi < 1e9 and p < 9 else INF
        return replace(r, lo=TINY if r.positive else 0, hi=hi, top=r.top if r.hi == 1 else "")
    return POSITIVE if r.positive else UNKNOWN
