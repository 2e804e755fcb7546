"""What several rules look for: softmax, sigmoid and norm, by name or written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whynan.remedy.form import Form, same
from whynan.remedy.kinds import squared
from whynan.remedy.match import Match


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
