"""Losses that the library has in a stable form."""

from __future__ import annotations

from whynan.remedy.form import Form, same
from whynan.remedy.match import Match
from whynan.remedy.rewriting import Answer, rule
from whynan.remedy.rules.parts import is_sigmoid, one_minus, sigmoid_of, softmax_of


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
    return m.call(
        "binary_cross_entropy_with_logits", build(z or ""), m.text(m.root.args[1]), **rest
    ), "cross-entropy on the logits"


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
