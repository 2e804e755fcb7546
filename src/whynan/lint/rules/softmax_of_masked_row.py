"""Softmax over a mask that may cover a row

What it does
------------
Finds a softmax of scores that were filled with -inf by a mask that may cover a row: neighbours, candidates, padding.

Why
---
A row in which everything is masked is exp(-inf) / 0 = NaN: an empty document, a query that is padding, a node
without neighbours. One such row in a batch makes every gradient NaN.

Bad
---
    import torch

    def attend(scores, adjacency):
        scores = scores.masked_fill(~adjacency, float("-inf"))
        return torch.softmax(scores, dim=-1)

Good
----
    import torch

    def attend(scores, adjacency):
        scores = scores.masked_fill(~adjacency, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, dim=-1)

When it is safe
---------------
Where every row keeps an entry: a causal mask, self-loops, a class token. The rule is silent for masks that are
visibly causal, made from lengths or tokens (each text has one), or only called `mask` in a class, and where the result
is cleaned afterwards. `F.scaled_dot_product_attention` gives 0 for such rows
(torch 2.13).

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import switched_off
from whynan.lint.guarded import guarded
from whynan.lint.masks import history, never_empty, unexplained
from whynan.lint.meaning import behind, through
from whynan.lint.parts import TENSORS, short
from whynan.lint.rule import Hit
from whynan.remedy.form import Form

CODE = "WN509"
NAME = "softmax-of-masked-row"
CAUSES = ("fully-masked-softmax",)
REMEDIES = ("mask-safe-softmax", "guard-empty")


KEEPS_ONE = re.compile(
    r"causal|tril|triu|future|subsequent|look_?ahead|topk|top_k|top_p|sort|kth|cumsum|eye|diag|self_loop|window|max\b|max_|threshold"
)


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("softmax", "log_softmax"):
        if f.lib not in TENSORS or not f.args or switched_off(file, f.node):
            continue
        filled = through(file, f.args[0])
        mask = _mask_of(file, filled)
        if mask is None or guarded(file, f.node, mask) or KEEPS_ONE.search(history(file, mask)):
            continue
        if never_empty(file, mask) or _plain(file, mask):
            continue
        yield Hit(f.node, f"A row that {short(file, mask)} covers entirely becomes NaN.", doubtful=not file.program)


def _mask_of(file: File, f: Form) -> ast.expr | None:
    """The mask of masked_fill(mask, -inf) or where(mask, x, -inf)."""
    if f.op == "masked_fill" and len(f.args) >= 3 and _minus_infinity(file, f.args[2]):
        return f.args[1].node
    if f.op == "masked_fill" and "value" in f.kw and len(f.args) >= 2 and _minus_infinity(file, f.kw["value"]):
        return f.args[1].node
    if f.op == "where" and f.lib == "torch" and len(f.args) == 3 and any(_minus_infinity(file, a) for a in f.args[1:]):
        return f.args[0].node
    return None


def _minus_infinity(file: File, f: Form) -> bool:
    text = file.segment(behind(file, f).node).replace(" ", "").replace("'", '"').lower()
    return (
        re.fullmatch(
            r'float\("-inf(inity)?"\)|-float\("inf(inity)?"\)|-(torch|math|np|numpy)\.inf|torch\.tensor\(-?float\("-?inf"\).*',
            text,
        )
        is not None
    )


def _plain(file: File, mask: ast.expr) -> bool:
    """A mask of which only is known that it is one."""
    inner = mask.operand if isinstance(mask, ast.UnaryOp) else mask.left if isinstance(mask, ast.Compare) else mask
    return unexplained(file, inner)
