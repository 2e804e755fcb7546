"""exp(z) that is divided by its own sum, in two statements: a masked softmax, or the same with the maximum taken
off first.

w = exp(s) * mask             w = s.masked_fill(mask == 0, -inf)
w = w / w.sum(-1)      ->     w = softmax(w, dim=-1)
"""

from __future__ import annotations

import ast

from whynan.remedy import flow
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.finder import expressions
from whynan.remedy.form import SELECTING, Form, form, seen
from whynan.remedy.source import Source

MASKED = "softmax over the scores that are not masked, instead of exp and its sum"
SHIFTED = "take the maximum off the exponent: the normalised result is the same"


def shifted(source: Source, forms: list[Form]) -> list[Candidate]:
    """Candidates for the exp forms among the suspects that some later statement normalises."""
    out = []
    for f in forms:
        if f.op != "exp" or not f.args or f.lib not in ("torch", "method"):
            continue
        quotient = normalised(source, f)
        dim = summed_over(source, quotient) if quotient else None
        if quotient is None or dim is None:
            continue
        for order, title, edits in (
            (0.2, MASKED, masked_softmax(source, f, quotient, dim)),
            (1.5, SHIFTED, subtract_maximum(source, f, dim)),
        ):
            if edits:
                out.append(Candidate("stable-formulation", title, source, edits, "safe", order=order))
    return out


def assigned(source: Source, f: Form) -> list[str]:
    return [t.id for t, _ in flow.targets(source.statement(f.node)) if isinstance(t, ast.Name)]


def normalised(source: Source, f: Form) -> Form | None:
    """The quotient w / w.sum(dim), where w is the variable that holds exp(z) or a product with it."""
    statement, names = source.statement(f.node), assigned(source, f)
    for later in source.own_nodes(source.scope(f.node)):
        if not isinstance(later, ast.stmt) or isinstance(later, flow.BLOCKS) or later.lineno <= statement.lineno:
            continue
        for node in expressions(later):
            quotient = form(source, node)
            if quotient.op == "div" and len(quotient.args) == 2:
                top, below = quotient.args
                if (
                    top.op == "name"
                    and top.value in names
                    and below.op == "sum"
                    and below.args
                    and below.args[0].value == top.value
                ):
                    return quotient
    return None


def _picked(source: Source, f: Form) -> Form:
    """The variable a numerator is selected from: w of w.gather(1, y), of torch.diagonal(w), of w * mask.

    The shift cancels as long as the selection stays within the row that is summed; the trial compares the losses.
    """
    for _ in range(4):
        if f.op == "name":
            behind = seen(source, f)
            picked = behind.op in SELECTING and behind.args
            if not picked:
                return f
            f = behind
        elif f.op in SELECTING and f.args:
            f = f.args[0]
        else:
            return f
    return f


def summed_over(source: Source, quotient: Form) -> str | None:
    """The text of the dim of the sum in w / w.sum(dim, keepdim=True)."""
    below = quotient.args[1]
    dim = below.kw.get("dim") or below.kw.get("axis") or below.arg(1)
    return source.segment(dim.node) if dim is not None else None


def masked_softmax(source: Source, f: Form, quotient: Form, dim: str) -> tuple[Edit, ...] | None:
    """Only where the variable is exp(z) * mask and nothing else, assigned once and normalised in place or once."""
    value = getattr(source.statement(f.node), "value", None)
    whole = form(source, value) if isinstance(value, ast.BinOp) else None
    if (
        whole is None
        or whole.op != "mul"
        or f.node not in [a.node for a in whole.args]
        or isinstance(quotient.node, ast.AugAssign)
    ):
        return None
    mask = next(a for a in whole.args if a.node is not f.node)
    z, name = f.args[0], assigned(source, f)[0]
    uses = [
        n
        for n in source.own_nodes(source.scope(f.node))
        if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
    ]
    own = [n for n in uses if quotient.node in source.ancestors(n)]
    again = [t for t, _ in flow.targets(source.statement(quotient.node)) if isinstance(t, ast.Name) and t.id == name]
    if len(uses) != len(own) and not again:
        return None
    quote = '"' if '"' in source.text else "'"
    fill = f"{source.atom(z.node)}.masked_fill({source.atom(mask.node)} == 0, float({quote}-inf{quote}))"
    new = f"{source.spell('torch.softmax')}({name}, dim={dim})"
    return (source.replace(whole.node, fill), source.replace(quotient.node, new))


def subtract_maximum(source: Source, f: Form, dim: str) -> tuple[Edit, ...] | None:
    z = f.args[0]
    if isinstance(z.node, (ast.Name, ast.Attribute)):
        text = source.segment(z.node)
        shifted_text = f"{text} - {text}.amax(dim={dim}, keepdim=True)"
        return (source.replace(z.node, shifted_text if _argument(source, z) else f"({shifted_text})"),)
    before = source.insert_before(source.statement(f.node), f"exponent = {' '.join(source.segment(z.node).split())}")
    if before is None or "exponent" in source.text:
        return None
    text = f"exponent - exponent.amax(dim={dim}, keepdim=True)"
    return (before, source.replace(z.node, text if _argument(source, z) else f"({text})"))


def _argument(source: Source, z: Form) -> bool:
    parent = source.parents.get(z.node)
    return isinstance(parent, ast.Call) and any(z.node is a for a in parent.args)
