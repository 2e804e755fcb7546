"""Ranges of functions: what each gives for any argument, or for the range of its argument."""

from __future__ import annotations

import ast
import math
from dataclasses import replace

from whynan.lint import operators
from whynan.lint.file import File
from whynan.lint.meaning import constant, through
from whynan.lint.ranges import (
    CLAMPED,
    EMPTY_MASK,
    ENDS_COINCIDE,
    FROM_ZERO,
    INF,
    IS_EXTREME,
    NOTHING_FULFILS,
    POSITIVE,
    SATURATED_SIGMOID,
    SATURATED_SOFTMAX,
    SATURATED_TANH,
    SOFT,
    TINY,
    UNKNOWN,
    ZERO_VECTOR,
    Handler,
    Range,
)
from whynan.lint.values import names_class, range_of
from whynan.lint.vanishing import RANDOM, may_vanish
from whynan.remedy import flow
from whynan.remedy.form import Form, form, same


def _known(r: Range) -> Handler:
    return lambda file, f, depth: r


def _abs(file: File, f: Form, depth: int) -> Range:
    r = range_of(file, f.arg(0), depth)
    return Range(TINY if r.positive or r.hi < 0 else 0, INF, zero=r.zero)


def _sqrt(file: File, f: Form, depth: int) -> Range:
    r = range_of(file, f.arg(0), depth)
    return Range(TINY if r.positive else 0, 1 if r.hi <= 1 else INF, zero=r.zero, top=r.top if r.hi == 1 else "")


def _exp(file: File, f: Form, depth: int) -> Range:
    r = range_of(file, f.arg(0), depth)
    return Range(TINY, 1 if r.hi <= 0 else INF, top=r.top if r.hi == 0 else "")


def _log(file: File, f: Form, depth: int) -> Range:
    r = range_of(file, f.arg(0), depth)
    if r.hi <= 1:
        return Range(-INF, 0, zero=r.top if r.hi == 1 else "")
    return Range(-INF, math.log(r.hi)) if 1 < r.hi < INF else UNKNOWN


def _log1p(file: File, f: Form, depth: int) -> Range:
    r = range_of(file, f.arg(0), depth)
    return Range(TINY if r.positive else 0, INF, zero=r.zero) if r.nonnegative else UNKNOWN


def _reduce(file: File, f: Form, depth: int) -> Range:
    """sum and mean: what all elements are. A sum of probabilities is not 0, one over a mask is a count."""
    inner = through(file, f.args[0]) if f.args else None
    r = range_of(file, f.arg(0), depth)
    if inner is None or inner.op in ("softmax", "sigmoid", "exp", "generatorexp", "listcomp", "rand"):
        return Range(0) if r.nonnegative and r.lo > -INF else UNKNOWN
    hi = r.hi if f.op == "mean" else INF
    masked = r.zero in (EMPTY_MASK, NOTHING_FULFILS) and not r.count  # what is multiplied by a mask
    alone = r.zero in SOFT or r.zero in (ZERO_VECTOR, CLAMPED) or masked  # not all at once
    zero = "" if alone else r.zero
    return Range(TINY if r.positive else min(r.lo, 0), hi, zero=zero, count=r.count)


def _of_zeros(file: File, f: Form, depth: int) -> Range:
    """max, min, cumsum of something: with evidence of zeros only where all may be zero."""
    r = range_of(file, f.arg(0), depth)
    second = f.arg(1)
    if second is not None and not _along_dimension(f, second):
        s = range_of(file, second, depth)
        if f.op in ("max", "maximum"):
            number = f.lib == "python" and not (r.zero and s.zero)  # max(0, n) of Python numbers
            return Range(max(r.lo, s.lo), max(r.hi, s.hi), zero="" if number else _both(r, s))
        return Range(min(r.lo, s.lo), min(r.hi, s.hi), zero=r.zero if r.nonnegative and s.nonnegative else "")
    if r.zero in (ENDS_COINCIDE, IS_EXTREME):
        return replace(r, zero="")
    probability = r.hi <= 1 and not r.count and f.op == "max"
    return replace(r, zero="" if probability else r.zero, count=r.count)


def _full(file: File, f: Form, depth: int) -> Range:
    value = constant(file, f.arg(1, "fill_value"))
    return UNKNOWN if value is None else Range(value, value, zero="it is 0" if value == 0 else "")


def _part(file: File, f: Form, depth: int) -> Range:
    """The real or imaginary part of something that is 0."""
    return Range(zero=range_of(file, f.arg(0), depth).zero)


def _both(r: Range, s: Range) -> str:
    """The larger of two is 0 where one is 0 and the other not above; two tensors are seldom 0 at one place."""
    bounded = any(x.lo == x.hi == 0 for x in (r, s))
    return "it is 0" if bounded else ""


def _along_dimension(f: Form, second: Form) -> bool:
    """x.max(1) reduces dimension 1; max(x, 1) and torch.maximum(x, y) compare."""
    if "dim" in f.kw or "axis" in f.kw:
        return True
    n = second.number
    return f.lib in ("torch", "method", "numpy") and f.op in ("max", "min") and n is not None and n == int(n)


def _clamp(file: File, f: Form, depth: int) -> Range:
    r = range_of(file, f.arg(0), depth)
    name = flow.last_name(f.node.func) if isinstance(f.node, ast.Call) else ""
    low = f.kw.get("min") or f.kw.get("a_min") or (None if name == "clamp_max" else f.arg(1))
    high = f.kw.get("max") or f.kw.get("a_max") or (f.arg(1) if name == "clamp_max" else f.arg(2))
    lo, hi, zero, top, bottom = r.lo, r.hi, r.zero, r.top, r.bottom
    if low is not None and not (low.op == "const" and low.value is None):
        bound = _bound(file, low, depth)
        if bound.lo == bound.hi:
            lo = max(lo, bound.lo)
            bottom = "clamp gives its bounds" if bound.lo >= r.lo else bottom
            zero = (CLAMPED if lo == 0 and r.lo < 0 else zero) if lo <= 0 else ""
        else:
            lo, zero, bottom = max(lo, TINY), "", ""  # a bound that is computed is one that somebody thought about
    if high is not None and not (high.op == "const" and high.value is None):
        bound = _bound(file, high, depth)
        known = bound.lo == bound.hi
        top = ("clamp gives its bounds" if bound.hi <= r.hi else top) if known else ""
        hi = min(hi, bound.hi) if known else (hi if hi < INF else INF)
    return Range(lo, hi, zero=zero, top=top, bottom=bottom, count=r.count)


def _bound(file: File, f: Form, depth: int) -> Range:
    """The range of a bound: the number that it is, or that a setting is unless somebody says otherwise."""
    known = constant(file, f)
    return range_of(file, f, depth) if known is None else Range(known, known)


def _rand(file: File, f: Form, depth: int) -> Range:
    dtype = f.kw.get("dtype")
    double = dtype is not None and str(dtype.value).endswith(("double", "float64"))
    if f.lib == "numpy" or double:  # 53 bits: zero does not happen
        return Range(TINY, 1)
    return Range(0, 1, zero="torch.rand gives exactly 0 once in 2^24 numbers")


def _uniform(file: File, f: Form, depth: int) -> Range:
    if f.lib != "method":
        return UNKNOWN
    low = f.arg(1, "from")
    if low is None or low.number == 0:
        return Range(0, 1, zero="uniform_() gives exactly 0 once in 2^24 numbers")
    return UNKNOWN


def _randint(file: File, f: Form, depth: int) -> Range:
    low, high = (f.kw.get("low") or f.arg(0)), (f.kw.get("high") or f.arg(1))
    single = high is None or (high.number is None and high.op == "tuple")
    starts = single or (low is not None and low.number == 0)
    return Range(0, INF, zero="randint includes 0", count=True) if starts else UNKNOWN


def _arange(file: File, f: Form, depth: int) -> Range:
    positional = [a for a in f.args]
    starts = len(positional) == 1 or (len(positional) > 1 and positional[0].number == 0)
    if starts and "start" not in f.kw:
        return Range(0, INF, zero=FROM_ZERO, count=True)
    return UNKNOWN


def _linspace(file: File, f: Form, depth: int) -> Range:
    a, b = (x.number if x is not None else None for x in (f.arg(0, "start"), f.arg(1, "end")))
    if a is None or b is None or a > b:
        return UNKNOWN
    return Range(a, b, zero="linspace includes its ends" if 0 in (a, b) else "", top="linspace includes its ends")


def _norm(file: File, f: Form, depth: int) -> Range:
    x = through(file, f.args[0]) if f.args else f
    unit = x.op == "sub" and bool(x.args) and all(through(file, a).op == "normalize" for a in x.args)
    return Range(0, 2 if unit else INF, zero=ZERO_VECTOR if may_vanish(file, f.arg(0)) else "")


def _distances(file: File, f: Form, depth: int) -> Range:
    """Of unit vectors between 0 and 2."""
    unit = bool(f.args) and all(through(file, a).op == "normalize" for a in f.args if a.number is None)
    return Range(0, 2 if unit else INF)


def _spread(file: File, f: Form, depth: int) -> Range:
    """std and var: 0 for constant values, which random numbers and the outputs of layers are not."""
    drawn = f.args and through(file, f.args[0]).op in RANDOM
    return Range(0, INF, zero="" if drawn else "all elements may be equal")


def _equal(file: File, f: Form, depth: int) -> Range:
    """ids.eq(all_ids) holds where something is compared with itself; labels.eq(1) may hold nowhere."""
    return Range(0, 1, zero=NOTHING_FULFILS if any(names_class(file, a) for a in f.args) else "", count=True)


def _where(file: File, f: Form, depth: int) -> Range:
    """where(x > 0, -x, x) is not above 0; otherwise the hull of both."""
    if len(f.args) != 3 or f.lib != "torch":
        return UNKNOWN
    test, (a, b) = through(file, f.args[0]).node, f.args[1:]
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and constant(file, form(file, test.comparators[0])) == 0:
        x = form(file, test.left)
        for down, up, kinds in ((a, b, (ast.Gt, ast.GtE)), (b, a, (ast.Lt, ast.LtE))):
            if (
                isinstance(test.ops[0], kinds)
                and same(file, x, up)
                and down.op == "neg"
                and same(file, x, down.args[0])
            ):
                return Range(-INF, 0)
    r, s = (range_of(file, x, depth) for x in (a, b))
    return Range(min(r.lo, s.lo), max(r.hi, s.hi))


def _saturating(r: Range) -> Handler:
    """sigmoid, tanh: their ends are met by tensors, not by a setting."""

    def handler(file: File, f: Form, depth: int) -> Range:
        x = f.arg(0)
        setting = x is None or f.lib == "numpy" or constant(file, x) is not None or range_of(file, x, depth).positive
        return replace(r, zero="", top="", bottom="") if setting else r

    return handler


HANDLERS: dict[str, Handler] = {
    "add": operators.add, "sub": operators.sub, "mul": operators.mul, "div": operators.div,
    "neg": operators.neg, "pow": operators.pow,
    "abs": _abs, "sqrt": _sqrt, "exp": _exp, "log": _log, "log1p": _log1p, "sum": _reduce, "mean": _reduce,
    "max": _of_zeros, "min": _of_zeros, "maximum": _of_zeros, "minimum": _of_zeros, "cumsum": _of_zeros,
    "clamp": _clamp, "rand": _rand, "rand_like": _rand, "uniform": _uniform, "randint": _randint, "arange": _arange,
    "linspace": _linspace, "matmul": operators.matmul,
    "softmax": _known(Range(0, 1, zero=SATURATED_SOFTMAX, top=SATURATED_SOFTMAX)),
    "sigmoid": _saturating(Range(0, 1, zero=SATURATED_SIGMOID, top=SATURATED_SIGMOID)),
    "log_softmax": _known(Range(-INF, 0)), "logsigmoid": _known(Range(-INF, 0)),
    "tanh": _saturating(Range(-1, 1, top=SATURATED_TANH, bottom=SATURATED_TANH)),
    "relu": _known(Range(0, INF, zero="relu gives exact zeros")),
    "relu6": _known(Range(0, 6, zero="relu gives exact zeros")),
    "softplus": _known(POSITIVE),
    "norm": _norm, "pdist": _distances, "cdist": _distances, "std": _spread, "var": _spread,
    "cosine_similarity": _known(Range(-1, 1, top="parallel vectors have cosine 1")),
    "stft": _known(Range(zero="silence has spectrum 0")), "fft": _known(Range(zero="silence has spectrum 0")),
    "fftn": _known(Range(zero="silence has spectrum 0")), "rfft2": _known(Range(zero="silence has spectrum 0")),
    "where": _where, "real": _part, "imag": _part,
    "rfft": _known(Range(zero="silence has spectrum 0")),
    "bincount": _known(Range(0, INF, zero="a class may have no member", count=True)),
    "histc": _known(Range(0, INF, zero="a bin may be empty", count=True)),
    "count_nonzero": _known(Range(0, INF, zero="nothing may be counted", count=True)),
    "degree": _known(Range(0, INF, zero="a node may have no neighbour", count=True)),
    "one_hot": _known(Range(0, 1, zero="most entries are 0", count=True)),
    "zeros": _known(UNKNOWN), "zeros_like": _known(UNKNOWN),  # made to be filled
    "full": _full, "full_like": _full,
    "ones": _known(Range(1, 1)), "ones_like": _known(Range(1, 1)),
    "eq": _equal, "ne": _known(Range(0, 1, zero=NOTHING_FULFILS, count=True)),
    "isfinite": _known(Range(0, 1, zero="nothing may be finite", count=True)),
    "len": _known(Range(0)), "numel": _known(Range(0)), "size": _known(Range(0)),
}  # fmt: skip
HANDLERS |= {name: HANDLERS["ne"] for name in ("gt", "lt", "ge", "le")} | {"not_equal": HANDLERS["ne"]}
