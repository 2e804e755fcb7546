"""Square roots of sums of squares, whose derivative at zero is infinite."""

from __future__ import annotations

from whynan.remedy.kinds import squared
from whynan.remedy.match import Match
from whynan.remedy.rewriting import Answer, rule
from whynan.remedy.rules.parts import norm_of, root_argument


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
