"""mask-safe-softmax: a mask that leaves softmax defined.

What it does
------------
Masks with the lowest finite number instead of -inf, or leaves one key of a fully masked row open. A row that is
not fully masked keeps its weights.

When it applies
---------------
Softmax met a row of nothing but -inf, in hand-written attention, nn.MultiheadAttention and the transformer
layers; or a mask value does not fit float16.

When it does not
----------------
Where scores are Inf or NaN before they are masked.

Live
----
A fully masked row becomes a row of zeros, uniform weights instead of NaN (`op-guard`); or the patched function
itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.case.facts import Report
from whynan.remedy import calls, finder, flow
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.form import Form, form
from whynan.remedy.guarding import is_half
from whynan.remedy.match import Match
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

CAUSES = ("fully-masked-softmax", "low-precision-overflow", "indexing-or-padding", "empty-reduction")


@remedy("mask-safe-softmax", "a mask that leaves softmax defined", live=("op-guard",))
def mask_safe_softmax(report: Report, source: Source) -> list[Candidate]:
    causes = [c.class_ for c in report.causes[:3]]
    op = (report.birth.op or "") if report.birth else ""
    if report.birth is None or not ("softmax" in op or any(c in CAUSES for c in causes)):
        return []
    half = is_half(report) or "low-precision-overflow" in causes
    out = [Candidate("mask-safe-softmax", t, source, e, order=o) for o, t, e in _padding_masks(source)]
    near = {s.form.node for s in finder.sites(source, report.birth)}
    for order, (title, edits) in enumerate(_finite_fill(source, half)):
        inside = any(source.data and n in near for n in _nodes_at(source, edits))
        out.append(
            Candidate("mask-safe-softmax", title, source, edits, order=0.2 + 0.01 * order + (0 if inside else 1))
        )
    every = tuple({e for _, edits in _finite_fill(source, half) for e in edits})
    if len(every) > 1:
        out.append(Candidate("mask-safe-softmax", "mask with finite values throughout", source, every, order=2.5))
    for s in finder.sites(source, report.birth):
        if s.form.op == "softmax" and s.distance < 2:
            out += [
                Candidate("mask-safe-softmax", t, source, e, order=3 + s.distance) for t, e in _open_row(source, s.form)
            ]
    return out + list(_unused_weights(source))


def _nodes_at(source: Source, edits: tuple[Edit, ...]) -> list[ast.AST]:
    return [c for c in source.calls if any(source.span(c)[0] <= e.start and e.end <= source.span(c)[1] for e in edits)]


def infinite(source: Source, node: ast.expr) -> bool:
    """-inf in any spelling: float("-inf"), -float("inf"), -torch.inf, -math.inf, -np.inf."""
    text = source.segment(node).replace("'", '"').replace(" ", "").lower()
    return text in ('float("-inf")', '-float("inf")', 'float("-infinity")') or (
        text.startswith("-") and text.endswith(".inf")
    )


def _huge(source: Source, node: ast.expr) -> bool:
    number = form(source, node).number
    return number is not None and number <= -65504


def _finite_fill(source: Source, half: bool) -> Iterator[tuple[str, tuple[Edit, ...]]]:
    """masked_fill(mask, -inf) -> masked_fill(mask, torch.finfo(x.dtype).min); other -inf constants -> -1e9 (or
    -1e4)."""
    for node in ast.walk(source.tree):
        if not isinstance(node, (ast.Call, ast.UnaryOp, ast.Attribute)) or not (
            infinite(source, node) or (half and _huge(source, node))
        ):
            continue
        call = source.parents.get(node)
        text = "-1e4" if half else "-1e9"
        if (
            isinstance(call, ast.Call)
            and flow.last_name(call.func) in ("masked_fill", "masked_fill_")
            and isinstance(call.func, ast.Attribute)
        ):
            receiver = call.func.value
            if isinstance(receiver, (ast.Name, ast.Attribute)) and not source.dotted(receiver):
                text = f"{source.spell('torch.finfo')}({source.segment(receiver)}.dtype).min" + (" / 2" if half else "")
        yield f"mask with {text} instead of {source.segment(node)}", (source.replace(node, text),)


def _padding_masks(source: Source) -> Iterator[tuple[float, str, tuple[Edit, ...]]]:
    """key_padding_mask=pad -> one key of a fully masked row stays open."""
    for call in source.calls:
        for keyword in call.keywords:
            if (
                keyword.arg
                and keyword.arg.endswith("key_padding_mask")
                and Match(source, form(source, call)).cheap(keyword.value)
            ):
                if isinstance(keyword.value, ast.Constant):
                    continue
                mask = source.atom(keyword.value)
                text = f"{mask} & ~{mask}.all(dim=-1, keepdim=True)"
                yield (
                    0.1,
                    "attend everywhere in a row that is masked completely",
                    (source.replace(keyword.value, text),),
                )


def _unused_weights(source: Source) -> Iterator[Candidate]:
    """MultiheadAttention(need_weights=False) uses a softmax that gives 0 for a fully masked row
    (facts/op_safe.csv)."""
    for call in source.calls:
        f = form(source, call)
        if f.op == "multi_head_attention_forward" and "need_weights" not in f.kw and isinstance(f.node, ast.Call):
            edit = calls.set_option(source, f.node, "need_weights", "False")
            yield Candidate("mask-safe-softmax", "do without the attention weights", source, (edit,), order=0.5)


def _open_row(source: Source, f: Form) -> Iterator[tuple[str, tuple[Edit, ...]]]:
    """softmax(s) -> softmax(s.masked_fill((s == -inf).all(dim, keepdim=True), 0.0))."""
    if not f.args or not isinstance(f.args[0].node, (ast.Name, ast.Attribute)):
        return
    dim = Match(source, f).option(f, 1, "dim") or "-1"
    s = source.segment(f.args[0].node)
    quote = '"' if '"' in source.text else "'"
    text = f"{s}.masked_fill(({s} == float({quote}-inf{quote})).all(dim={dim}, keepdim=True), 0.0)"
    yield "spread the weights evenly over a row that is masked completely", (source.replace(f.args[0].node, text),)
