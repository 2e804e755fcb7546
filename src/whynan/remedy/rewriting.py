"""Rules from a formula that loses range or precision to one that does not: log(softmax(x)) -> log_softmax(x).

Every rule keeps the value where both forms are finite (tests/remedy/test_rewriting.py evaluates both sides on random
inputs, and `same_where_finite` does it on recorded ones). A rule takes a `Match` and returns (text, title) or None.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from whynan.remedy.edits import Edit
from whynan.remedy.form import Form, form, same
from whynan.remedy.kinds import squared
from whynan.remedy.match import Match
from whynan.remedy.source import Source

Answer = tuple[str, str]
Rule = Callable[[Match], Answer | None]
RULES: list[Rule] = []


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A rule that fits: what to put in place of `root`, and what else to edit."""

    root: Form
    text: str
    title: str
    edits: tuple[Edit, ...]


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def rewrites(source: Source, node: ast.expr) -> Iterable[Rewrite]:
    """The rules that fit an expression."""
    root = form(source, node)
    if root.lib in ("numpy", "math", "scipy"):
        return
    for one in RULES:
        match = Match(source, root)
        try:
            answer = one(match)
        except ValueError:
            continue
        if answer:
            text, title = answer
            yield Rewrite(root, text, title, (source.replace(node, text), *match.edits))


def same_where_finite(before: Callable[..., Any], after: Callable[..., Any], inputs: Iterable[tuple[Any, ...]]) -> bool:
    """Run both forms on inputs: equal wherever both are finite, `after` finite wherever `before` is, and finite somewhere."""
    import torch

    any_finite = False
    for args in inputs:
        a, b = torch.as_tensor(before(*args)), torch.as_tensor(after(*args))
        if a.shape != b.shape:
            return False
        fine, also = torch.isfinite(a), torch.isfinite(b)
        if bool((fine & ~also).any()) or not torch.allclose(a[fine & also], b[fine & also], rtol=1e-3, atol=1e-4):
            return False
        any_finite = any_finite or bool(also.any())
    return any_finite


# -- parts that several rules look for -------------------------------------------------------------------------------
def exp_of(m: Match, f: Form) -> Form | None:
    f = m.see(f)
    return f.args[0] if f.op == "exp" and f.args else None


def one_plus(m: Match, f: Form) -> Form | None:
    f = m.see(f)
    if f.op == "add" and len(f.args) == 2:
        if f.args[0].number == 1:
            return f.args[1]
        if f.args[1].number == 1:
            return f.args[0]
    return None


def negated(m: Match, f: Form) -> str:
    """The text of -f, without a double minus."""
    if f.op == "neg":
        return m.text(f.args[0])
    return f"-{m.tight(f)}"


@dataclass(frozen=True)
class Soft:
    """A softmax: the logits and the text of dim."""

    logits: Form
    dim: str | None


def softmax_of(m: Match, f: Form) -> Soft | None:
    """softmax(z, dim) by name, or exp(z) / exp(z).sum(dim, keepdim=True) by hand."""
    if f.op == "softmax" and f.args:
        return Soft(f.args[0], m.option(f, 1, "dim"))
    if f.op == "div" and len(f.args) == 2:
        z, below = exp_of(m, f.args[0]), m.bare(f.args[1])
        if z is not None and below.op == "sum" and below.args:
            w = exp_of(m, below.args[0])
            if w is not None and same(m.source, z, w):
                return Soft(z, m.option(below, 1, "dim") or m.option(below, 1, "axis"))
    return None


def sigmoid_of(m: Match, f: Form) -> str | None:
    """The text of z where f is sigmoid(z), 1 / (1 + exp(-z)) or exp(z) / (1 + exp(z))."""
    if f.op == "sigmoid" and f.args:
        return m.text(f.args[0])
    if f.op == "div" and len(f.args) == 2:
        rest = one_plus(m, f.args[1])
        w = exp_of(m, rest) if rest is not None else None
        if w is None:
            return None
        if f.args[0].number == 1:
            return negated(m, w)
        z = exp_of(m, f.args[0])
        if z is not None and same(m.source, z, w):
            return m.text(z)
    return None


def is_sigmoid(m: Match) -> Callable[[Form], bool]:
    def test(f: Form) -> bool:
        probe = Match(m.source, m.root)
        return sigmoid_of(probe, f) is not None

    return test


def one_minus(m: Match, f: Form) -> Form | None:
    """p of 1 - p."""
    f = m.bare(f)
    return f.args[1] if f.op == "sub" and len(f.args) == 2 and f.args[0].number == 1 else None


# -- logarithms ------------------------------------------------------------------------------------------------------
@rule
def log_of_softmax(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args:
        return None
    found = m.peel(m.root.args[0], lambda f: softmax_of(m, f))
    if found is None:
        return None
    core, build = found
    soft = softmax_of(m, core)
    assert soft is not None
    return build(m.call("log_softmax", m.text(soft.logits), dim=soft.dim or "-1")), "log of a softmax: log_softmax"


@rule
def log_of_sigmoid(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args:
        return None
    found = m.peel(m.root.args[0], is_sigmoid(m))
    if found is None:
        return None
    core, build = found
    return build(m.call("logsigmoid", sigmoid_of(m, core))), "log of a sigmoid: logsigmoid"


@rule
def log_of_one_minus_sigmoid(m: Match) -> Answer | None:
    if m.root.op not in ("log", "log1p") or not m.root.args:
        return None
    if m.root.op == "log":
        p = one_minus(m, m.root.args[0])
    else:
        p = m.root.args[0].args[0] if m.root.args[0].op == "neg" else None
    found = m.peel(p, is_sigmoid(m)) if p is not None else None
    if found is None:
        return None
    core, build = found
    z = core.args[0] if core.op == "sigmoid" else None
    text = negated(m, z) if z is not None else f"-({sigmoid_of(m, core)})"
    return build(m.call("logsigmoid", text)), "log(1 - sigmoid(x)): logsigmoid(-x)"


@rule
def log_of_sum_of_exp(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args:
        return None
    total = m.bare(m.root.args[0])
    if total.op not in ("sum", "mean") or not total.args:
        return None
    z = exp_of(m, total.args[0])
    if z is None:
        return None
    dim, keep = m.option(total, 1, "dim") or m.option(total, 1, "axis"), m.option(total, 2, "keepdim")
    inner = m.text(z) if dim else f"{m.tight(z)}.flatten()"
    text = m.call("logsumexp", inner, dim=dim or "0", keepdim=keep)
    if total.op == "mean":
        if dim and not dim.lstrip("-").isdigit():
            return None
        size = f"{m.tight(z)}.shape[{dim}]" if dim else f"{m.tight(z)}.numel()"
        m.edits += m.source.importing("math.log")
        text = f"({text} - {m.source.spell('math.log')}({size}))"
    return text, "log of a sum of exp: logsumexp"


@rule
def log_of_one_plus_exp(m: Match) -> Answer | None:
    if m.root.op not in ("log", "log1p") or not m.root.args:
        return None
    rest = one_plus(m, m.root.args[0]) if m.root.op == "log" else m.root.args[0]
    z = exp_of(m, rest) if rest is not None else None
    return (m.call("softplus", m.text(z)), "log(1 + exp(x)): softplus") if z is not None else None


@rule
def log_of_cosh(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args or m.see(m.root.args[0]).op != "cosh":
        return None
    z = m.see(m.root.args[0]).args[0]
    x = m.tight(z)
    return f"({x}.abs() + {m.call('softplus', f'-2 * {x}.abs()')} - 0.6931472)", "log(cosh(x)) without cosh"


@rule
def log_of_one_plus(m: Match) -> Answer | None:
    if m.root.op != "log" or not m.root.args:
        return None
    x = one_plus(m, m.root.args[0])
    if x is None or exp_of(m, x) is not None or x.number is not None:
        return None
    return f"{m.source.spell('torch.log1p')}({m.text(x)})", "log(1 + x): log1p"


# -- losses ----------------------------------------------------------------------------------------------------------
@rule
def bce_by_hand(m: Match) -> Answer | None:
    """y * log(p) + (1 - y) * log(1 - p), in any order, with or without eps."""
    if m.root.op != "add" or len(m.root.args) != 2:
        return None
    for a, b in (m.root.args, m.root.args[::-1]):
        hit, miss = _weighted_log(m, a), _weighted_log(m, b)
        if hit is None or miss is None:
            continue
        (y, p), (not_y, not_p) = hit, miss
        q, w = one_minus(m, not_p), one_minus(m, not_y)
        if q is None or w is None or not same(m.source, m.bare(q), m.bare(p)) or not same(m.source, m.see(w), m.see(y)):
            continue
        z = sigmoid_of(m, m.bare(p))
        if z is not None:
            text = m.call("binary_cross_entropy_with_logits", z, m.text(y), reduction='"none"')
        else:
            text = m.call("binary_cross_entropy", m.text(p), m.text(y), reduction='"none"')
        minus = f"-{text}" if m.source.parenthesised(m.root.node) else f"(-{text})"
        return minus, "cross-entropy by hand: the library's, which is finite at 0 and 1"
    return None


def _weighted_log(m: Match, f: Form) -> tuple[Form, Form] | None:
    """(weight, argument of the log) of weight * log(argument)."""
    f = m.see(f)
    if f.op != "mul" or len(f.args) != 2:
        return None
    for w, g in (f.args, f.args[::-1]):
        g = m.see(g)
        if g.op == "log" and g.args:
            return w, g.args[0]
    return None


@rule
def bce_of_sigmoid(m: Match) -> Answer | None:
    if m.root.op != "binary_cross_entropy" or m.root.lib != "torch" or len(m.root.args) < 2:
        return None
    found = m.peel(m.root.args[0], is_sigmoid(m))
    if found is None:
        return None
    core, build = found
    rest = {k: m.source.segment(v.node) for k, v in m.root.kw.items()}
    z = sigmoid_of(m, core)
    return m.call("binary_cross_entropy_with_logits", build(z or ""), m.text(m.root.args[1]), **rest), "cross-entropy on the logits"


@rule
def kl_div_in_log_space(m: Match) -> Answer | None:
    """kl_div(log_q, softmax(z)): the derivative of xlogy(p, p) at 0 is 0/0; log_target has none."""
    if m.root.op != "kl_div" or m.root.lib not in ("torch", "module") or "log_target" in m.root.kw:
        return None
    target = m.root.arg(1, "target")
    found = m.peel(target, lambda f: softmax_of(m, f)) if target is not None else None
    if found is None or target is None:
        return None
    core, build = found
    soft = softmax_of(m, core)
    assert soft is not None
    new = build(m.call("log_softmax", m.text(soft.logits), dim=soft.dim or "-1"))
    whole, inner = m.source.span(m.root.node), m.source.span(target.node)
    text = m.source.data[whole[0] : inner[0]].decode() + new + m.source.data[inner[1] : whole[1]].decode()
    if m.root.lib == "module":
        return None
    return text[:-1].rstrip().rstrip(",") + ", log_target=True)", "the target of kl_div in log space"


# -- quotients -------------------------------------------------------------------------------------------------------
@rule
def softmax_by_hand(m: Match) -> Answer | None:
    if m.root.op != "div":
        return None
    soft = softmax_of(m, m.root)
    return (m.call("softmax", m.text(soft.logits), dim=soft.dim or "-1"), "exp / sum of exp: softmax") if soft else None


@rule
def sigmoid_by_hand(m: Match) -> Answer | None:
    if m.root.op != "div":
        return None
    z = sigmoid_of(m, m.root)
    return (m.call("sigmoid", z), "1 / (1 + exp(-x)): sigmoid") if z is not None else None


@rule
def tanh_by_hand(m: Match) -> Answer | None:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    if m.root.op != "div" or len(m.root.args) != 2:
        return None
    top, below = (m.see(a) for a in m.root.args)
    if (top.op, below.op) != ("sub", "add"):
        return None
    parts = [exp_of(m, a) for a in (*top.args, *below.args)]
    if any(p is None for p in parts):
        return None
    a, b, c, d = parts
    opposite = b.op == "neg" and same(m.source, b.args[0], a)  # type: ignore[union-attr,arg-type]
    if opposite and same(m.source, a, c) and same(m.source, b, d):  # type: ignore[arg-type]
        return m.call("tanh", m.text(a)), "tanh by hand: tanh"  # type: ignore[arg-type]
    return None


def norm_of(m: Match, f: Form) -> tuple[Form, str | None, str | None] | None:
    """(x, dim, keepdim) where f is the 2-norm of x: x.norm(...), vector_norm, sqrt(sum(x * x))."""
    f = m.bare(f)
    if f.op == "norm" and f.args:
        if f.lib == "torch" and m.source.segment(f.node).split("(")[0].endswith("vector_norm"):
            order, dim, keep = f.arg(1, "ord"), m.option(f, 2, "dim"), m.option(f, 3, "keepdim")
        else:
            order, dim, keep = f.arg(1, "p"), m.option(f, 2, "dim"), m.option(f, 3, "keepdim")
        if order is not None and order.number != 2 and order.value not in (None, "fro"):
            return None
        return f.args[0], dim, keep
    total = root_argument(m, f)
    total = m.bare(total) if total is not None else None
    if total is not None and total.op == "sum" and total.args:
        x = squared(m.source, m.see(total.args[0]))
        if x is not None:
            return x, m.option(total, 1, "dim") or m.option(total, 1, "axis"), m.option(total, 2, "keepdim")
    return None


def root_argument(m: Match, f: Form) -> Form | None:
    """x of sqrt(x), x ** 0.5, x.pow(0.5)."""
    if f.op == "sqrt" and f.args:
        return f.args[0]
    if f.op == "pow" and len(f.args) == 2 and f.args[1].number == 0.5:
        return f.args[0]
    return None


@rule
def normalize_by_hand(m: Match) -> Answer | None:
    """x / x.norm(dim=d, keepdim=True): F.normalize, which divides by at least 1e-12."""
    if m.root.op != "div" or len(m.root.args) != 2:
        return None
    below = m.bare(m.root.args[1])
    if below.op in ("unsqueeze", "getitem") and below.args:
        return None
    norm = norm_of(m, m.root.args[1])
    if norm is None:
        return None
    x, dim, keep = norm
    if not same(m.source, m.see(x), m.see(m.root.args[0])) or (dim is not None and keep != "True") or dim is None:
        return None
    return m.call("normalize", m.text(m.root.args[0]), dim=dim), "x / norm(x): normalize"


# -- roots -----------------------------------------------------------------------------------------------------------
@rule
def norm_by_hand(m: Match) -> Answer | None:
    """sqrt(sum(x * x)): vector_norm, whose derivative at 0 is 0 (facts/op_safe.csv)."""
    if root_argument(m, m.root) is None:
        return None
    norm = norm_of(m, m.root)
    if norm is None:
        return None
    x, dim, keep = norm
    name = "linalg.vector_norm"
    return m.call(name, m.text(x), dim=dim, keepdim=keep), "square root of a sum of squares: vector_norm"


@rule
def std_by_hand(m: Match) -> Answer | None:
    """sqrt(var(x)): std, whose derivative at a constant is 0."""
    arg = root_argument(m, m.root)
    if arg is None:
        return None
    var = m.bare(arg)
    if var.op != "var" or var.lib not in ("torch", "method") or not m.reaches(var.node):
        return None
    text = m.source.segment(var.node)
    at = text.rfind(".var(") if var.lib == "method" else text.find("var(")
    if at < 0:
        return None
    return (text[:at] + text[at:].replace("var(", "std(", 1)), "square root of a variance: std"


@rule
def root_of_square(m: Match) -> Answer | None:
    arg = root_argument(m, m.root)
    x = squared(m.source, m.see(arg)) if arg is not None else None
    return (f"{m.tight(x)}.abs()", "square root of a square: abs") if x is not None else None
