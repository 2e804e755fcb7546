"""Where an op's argument must lie, and how to keep it there: the table behind add-eps, clamp and guard-empty.

The bounds are small against the values a training script handles and large against rounding (facts/MEASUREMENTS.md,
4.1):
in float32 1e-8 under a root gives a slope of 5e3, 1 - 1e-6 is representable, exp(20) = 5e8 can still be squared; in
float16
eps must be at least 4e-3 for the derivative of 1/(x + eps) to stay below 65504.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from whynan.case.facts import TensorFacts
from whynan.remedy import wraps
from whynan.remedy.form import Form, form
from whynan.remedy.kinds import Kind, counts, kind, nonnegative
from whynan.remedy.source import Source
from whynan.remedy.wraps import Wrap

POSITIVE = ("log", "log2", "log10", "lgamma", "digamma", "polygamma", "entr", "poisson_nll")
ROOT = ("sqrt", "rsqrt")
SYMMETRIC = ("acos", "asin", "atanh", "erfinv")
PROBABILITY = ("logit", "icdf")
EXPONENT = ("exp", "exp2", "expm1", "sinh", "cosh")
DIVISION = ("div", "reciprocal", "remainder", "fmod", "floordiv")
DISTRIBUTIONS: dict[str, tuple[tuple[int, str], ...]] = {
    "Normal": ((1, "scale"),),
    "LogNormal": ((1, "scale"),),
    "Laplace": ((1, "scale"),),
    "Cauchy": ((1, "scale"),),
    "Gumbel": ((1, "scale"),),
    "HalfNormal": ((0, "scale"),),
    "Gamma": ((0, "concentration"), (1, "rate")),
    "Beta": ((0, "concentration1"), (1, "concentration0")),
    "Dirichlet": ((0, "concentration"),),
    "Poisson": ((0, "rate"),),
    "Exponential": ((0, "rate"),),
    "StudentT": ((0, "df"), (2, "scale")),
    "NegativeBinomial": ((0, "total_count"),),
    "VonMises": ((1, "concentration"),),
    "Weibull": ((0, "scale"), (1, "concentration")),
    "Pareto": ((0, "scale"), (1, "alpha")),
}
SECOND: dict[str, tuple[int, str, str, str | None]] = {
    "xlogy": (1, "other", "1e-12", None),
    "kl_div": (1, "target", "1e-12", None),
    "gaussian_nll_loss": (2, "var", "1e-6", None),
    "poisson_nll_loss": (0, "input", "", "20"),
    "binary_cross_entropy": (0, "input", "1e-7", "1 - 1e-7"),
}
FUSSY = frozenset(
    (
        *POSITIVE,
        *ROOT,
        *SYMMETRIC,
        *PROBABILITY,
        *EXPONENT,
        *DIVISION,
        *DISTRIBUTIONS,
        *SECOND,
        "pow",
        "acosh",
        "log1p",
        "hypot",
    )
)


@dataclass(frozen=True, eq=False)
class Guard:
    """Wraps around one argument of an op. `variant` names what was done, so that the same can be done elsewhere."""

    class_: str
    title: str
    wraps: tuple[Wrap, ...]
    order: float
    variant: str


def guards(source: Source, f: Form, facts: tuple[TensorFacts, ...] = (), half: bool = False) -> list[Guard]:
    """What may be done to the arguments of an op, most to the point first. `facts` are those of the op's tensor
    inputs."""
    return sorted(_guards(source, f, facts, half), key=lambda g: g.order)


def _guards(source: Source, f: Form, facts: tuple[TensorFacts, ...], half: bool) -> Iterator[Guard]:
    first, second = f.arg(0), f.arg(1)
    fact = facts[0] if facts else None
    op = f.op
    if op in POSITIVE and first:
        yield from positive(source, first, fact, half, op)
    elif op in ROOT and first:
        yield from root(source, first, fact, half)
    elif op == "pow" and first and second:
        yield from power(source, first, second, fact, half)
    elif op in DIVISION and (second or op == "reciprocal") and first:
        below = first if op == "reciprocal" or second is None else second
        yield from denominator(source, below, _below(f, facts), half)
    elif op in SYMMETRIC and first:
        e = "1e-3" if half else "1e-6"
        narrower = _narrower(source, first, e)
        if narrower:
            yield narrower
            return
        yield from bounded(source, first, fact, f"-1 + {e}", f"1 - {e}", op)
    elif op == "acosh" and first:
        yield from bounded(source, first, fact, "1 + 1e-3" if half else "1 + 1e-6", None, op)
    elif op == "log1p" and first:
        yield from bounded(source, first, fact, "-1 + 1e-6", None, op)
    elif op in PROBABILITY and f.args:
        yield from bounded(source, f.args[-1], None, "1e-4" if half else "1e-6", "1 - 1e-4" if half else "1 - 1e-6", op)
        yield from bounded(source, f.args[-1], None, "1e-3", "1 - 1e-3", op, 3.0)
    elif op in EXPONENT and first:
        yield from exponent(source, first, fact, half, op)
    elif op == "hypot" and second:
        yield _eps(source, second, "1e-6", 1.0)
    yield from _named_arguments(source, f)


def _below(f: Form, facts: tuple[TensorFacts, ...]) -> TensorFacts | None:
    """The facts of the divisor; only tensors have facts, so it is the first where the dividend is a number."""
    if f.op == "reciprocal" or (f.args[0].number is not None and len(facts) == 1):
        return facts[0] if facts else None
    return facts[1] if len(facts) > 1 else None


def _named_arguments(source: Source, f: Form) -> Iterator[Guard]:
    if f.op in SECOND and f.lib in ("torch", "module", "method"):
        at, name, low, high = SECOND[f.op]
        value = f.arg(at, name)
        if value is not None and value.op not in ("const",):
            yield from bounded(source, value, None, low or None, high, f.op)
    for at, name in DISTRIBUTIONS.get(f.op, ()) if f.lib == "torch" else ():
        value = f.arg(at, name)
        if value is not None and value.number is None:
            yield from bounded(source, value, None, "1e-4", None, f"{f.op} {name}")
            yield from bounded(source, value, None, "1e-2", None, f"{f.op} {name}", 3.0)


def kinds(source: Source, f: Form, fact: TensorFacts | None = None) -> list[Kind]:
    """Spellings to try: what the expression is, or both where it cannot be told and numpy is in use."""
    found = kind(source, f, fact)
    if found != "unknown":
        return [found]
    parent = source.parents.get(f.node)
    around = form(source, parent).lib if isinstance(parent, ast.Call) else None
    if around in ("numpy", "math"):
        return ["numpy" if around == "numpy" else "number"]
    return ["tensor", "numpy"] if "numpy" in source.aliases.values() else ["tensor"]


def _eps(source: Source, f: Form, eps: str, order: float) -> Guard:
    return Guard(
        "add-eps", f"add {eps} to {_short(source, f)}", (wraps.plus(source, f.node, eps),), order, f"eps {eps}"
    )


def _clamp(
    source: Source, f: Form, sort: Kind, low: str | None, high: str | None, order: float, class_: str = "clamp"
) -> Guard:
    limit = " and ".join(t for t in (f"at least {low}" if low else "", f"at most {high}" if high else "") if t)
    title = f"keep {_short(source, f)} {limit}"
    wrap = wraps.clamp(source, f.node, sort, low, high)
    return Guard(class_, title, (wrap,), order, f"{class_} {low} {high} {sort}")


def _short(source: Source, f: Form) -> str:
    text = " ".join(source.segment(f.node).split())
    return f"`{text}`" if len(text) <= 48 else f"`{text[:45]}...`"


def bounded(
    source: Source, f: Form, fact: TensorFacts | None, low: str | None, high: str | None, op: str, order: float = 1.0
) -> Iterator[Guard]:
    """Inside [low, high]."""
    for i, sort in enumerate(kinds(source, f, fact)):
        yield _clamp(source, f, sort, low, high, order + 0.1 * i)


def _narrower(source: Source, f: Form, eps: str) -> Guard | None:
    """x.clamp(-1, 1) is there already, but the derivative is infinite at its ends: clamp(-1 + eps, 1 - eps)."""
    if f.op != "clamp":
        return None
    low, high = f.kw.get("min") or f.arg(1), f.kw.get("max") or f.arg(2)
    if low is None or high is None or (low.number, high.number) != (-1, 1):
        return None
    ends = [(source.span(low.node)[1], f" + {eps}"), (source.span(high.node)[1], f" - {eps}")]
    title = f"clamp a little inside the ends, at -1 + {eps} and 1 - {eps}"
    return Guard("clamp", title, tuple(Wrap(at, "", at, text) for at, text in ends), 0.9, f"narrower {eps}")


def positive(source: Source, f: Form, fact: TensorFacts | None, half: bool, op: str) -> Iterator[Guard]:
    """The argument of a logarithm: a floor, or an eps where it is never negative."""
    eps = "1e-4" if half else "1e-8"
    never = nonnegative(source, f, fact)
    for i, sort in enumerate(kinds(source, f, fact)):
        if counts(source, f, fact):
            yield _clamp(source, f, sort, "1", None, 0.5 + 0.1 * i)
        yield _clamp(source, f, sort, eps, None, 1.0 + 0.1 * i)
        yield _clamp(source, f, sort, "1e-2" if half else "1e-4", None, 4.0 + 0.1 * i)
        if sort == "tensor" and f.op == "div" and len(f.args) == 2 and f.args[1].number is None:
            yield _both_ends(source, f, eps, 1.8)  # 0 / 0 as well
        if not half:  # where sound values are smaller than the usual floor: a product of many probabilities
            yield _clamp(source, f, sort, "1e-30", None, (0.9 if _tiny(fact, 1e-8) else 3.0) + 0.1 * i)
    if never or fact is None:
        yield _eps(source, f, eps, 2.0)


def _both_ends(source: Source, ratio: Form, eps: str, order: float) -> Guard:
    """log(a / b): the quotient and its divisor."""
    below = ratio.args[1]
    ends = (wraps.clamp(source, below.node, "tensor", eps), wraps.clamp(source, ratio.node, "tensor", eps))
    title = f"keep {_short(source, below)} and {_short(source, ratio)} at least {eps}"
    return Guard("clamp", title, ends, order, f"both ends {eps}")


def _tiny(fact: TensorFacts | None, eps: float) -> bool:
    """Whether values that are finite and not 0 lie below `eps`."""
    return fact is not None and fact.smallest_nonzero is not None and 0 < fact.smallest_nonzero < eps


def root(source: Source, f: Form, fact: TensorFacts | None, half: bool) -> Iterator[Guard]:
    """The argument of a square root: eps inside, because outside it does not reach the derivative."""
    eps, more = ("1e-3", "1e-2") if half else ("1e-8", "1e-4")
    below = fact is not None and fact.min is not None and fact.min < 0
    for i, sort in enumerate(kinds(source, f, fact)):
        if sort != "tensor" and counts(source, f, fact):
            yield _clamp(source, f, sort, "1", None, 0.9)
        yield _clamp(source, f, sort, eps, None, (0.8 if below else 1.5) + 0.1 * i)
        yield _clamp(source, f, sort, more, None, 4.0 + 0.1 * i)
    if not below:
        yield _eps(source, f, eps, 1.0)
        yield _eps(source, f, more, 3.0)


def power(source: Source, base: Form, exp: Form, fact: TensorFacts | None, half: bool) -> Iterator[Guard]:
    """The base of a power that is not a whole positive number."""
    value = exp.number
    if value is not None and value >= 1 and value == int(value):
        return
    if base.number is not None:
        yield from exponent(source, exp, None, half, "pow")
        return
    eps = "1e-3" if half else "1e-7"
    for i, sort in enumerate(kinds(source, base, fact)):
        yield _clamp(source, base, sort, eps, None, 1.0 + 0.1 * i)
        yield _clamp(source, base, sort, "1e-2" if half else "1e-4", None, 3.0 + 0.1 * i)
    if nonnegative(source, base, fact):
        yield _eps(source, base, eps, 1.5)


def denominator(source: Source, f: Form, fact: TensorFacts | None, half: bool) -> Iterator[Guard]:
    """What is divided by: a count is at least 1; a nonnegative number has a floor; another one an eps."""
    if f.number is not None:
        return
    eps, more = ("4e-3", "5e-2") if half else ("1e-8", "1e-3")
    sorts = kinds(source, f, fact)
    if counts(source, f, fact):
        for i, sort in enumerate(sorts):
            yield _clamp(source, f, sort, "1", None, 0.5 + 0.1 * i, "guard-empty")
    never = nonnegative(source, f, fact)
    for i, sort in enumerate(sorts):
        if never or sort == "number":
            yield _clamp(source, f, sort, eps, None, (1.0 if never else 2.5) + 0.1 * i)
            yield _clamp(source, f, sort, more, None, 3.0 + 0.1 * i)
            yield _clamp(source, f, sort, "1" if sort == "number" else "1.0", None, 4.0 + 0.1 * i)
    yield _eps(source, f, eps, 2.0)
    yield _eps(source, f, more, 3.5)
    if not never and "tensor" in sorts and fact is not None:
        yield _away_from_zero(source, f, more)


def _away_from_zero(source: Source, f: Form, eps: str) -> Guard:
    """Keeps the sign: where(|b| < eps, eps, b). Written around the text once, so b is named twice only in the
    condition."""
    text = source.segment(f.node)
    start, end = source.span(f.node)
    where = source.spell("torch.where")
    one_line = " ".join(text.split())
    wrap = Wrap(
        start,
        f"{where}({source.atom(f.node) if text == one_line else f'({one_line})'}.abs() < {eps}, {eps}, ",
        end,
        ")",
    )
    return Guard("safe-where", f"replace a {_short(source, f)} near 0 by {eps}", (wrap,), 4.5, f"where {eps}")


def exponent(source: Source, f: Form, fact: TensorFacts | None, half: bool, op: str) -> Iterator[Guard]:
    """The argument of exp: a ceiling. cosh and sinh grow on both sides."""
    both = op in ("cosh", "sinh")
    for order, top in ((1.0, 10 if half else 20), (3.0, 5), (4.0, 60)):
        if half and top == 60:
            continue
        for i, sort in enumerate(kinds(source, f, fact)):
            yield _clamp(source, f, sort, f"-{top}" if both else None, str(top), order + 0.1 * i)


def fussy(f: Form) -> bool:
    """Whether an op has a domain worth guarding."""
    return f.op in FUSSY and isinstance(f.node, (ast.Call, ast.BinOp, ast.AugAssign))
