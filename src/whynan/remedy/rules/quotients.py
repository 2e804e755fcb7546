"""Quotients: softmax, sigmoid, tanh and normalization by hand."""

from __future__ import annotations

from whynan.remedy.form import same
from whynan.remedy.match import Match
from whynan.remedy.rewriting import Answer, rule
from whynan.remedy.rules.parts import exp_of, norm_of, sigmoid_of, softmax_of


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
