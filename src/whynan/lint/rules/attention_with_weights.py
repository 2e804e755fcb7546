"""MultiheadAttention with weights over a padding mask

What it does
------------
Finds calls of an `nn.MultiheadAttention` with a `key_padding_mask` and without `need_weights=False`.

Why
---
With weights (the default) the attention is computed by a softmax, which is NaN for a sample whose keys are all
padding; without weights the fused kernel is used, which gives 0 there (torch 2.13).

Bad
---
    import torch.nn as nn

    class Pool(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.attention = nn.MultiheadAttention(dim, 4, batch_first=True)

        def forward(self, query, x, pad):
            out, _ = self.attention(query, x, x, key_padding_mask=pad)
            return out

Good
----
    import torch.nn as nn

    class Pool(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.attention = nn.MultiheadAttention(dim, 4, batch_first=True)

        def forward(self, query, x, pad):
            out, _ = self.attention(query, x, x, key_padding_mask=pad, need_weights=False)
            return out

When it is safe
---------------
Where every sample keeps a key, for example a class token.

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.guarded import guarded
from whynan.lint.masks import never_empty, unexplained
from whynan.lint.parts import short
from whynan.lint.rule import Hit
from whynan.remedy import flow

CODE = "WN514"
NAME = "attention-of-padded-row"
CAUSES = ("fully-masked-softmax",)
REMEDIES = ("mask-safe-softmax", "guard-empty")


def check(file: File) -> Iterator[Hit]:
    for call in file.calls:
        mask = next((k.value for k in call.keywords if k.arg == "key_padding_mask"), None)
        if mask is None or (isinstance(mask, ast.Constant) and mask.value is None):
            continue
        if any(k.arg in ("need_weights", None) for k in call.keywords) or len(call.args) > 4:
            continue
        made = flow.meaning(file, call.func) if isinstance(call.func, (ast.Name, ast.Attribute)) else None
        attention = isinstance(made, ast.Call) and file.dotted(made.func) == "torch.nn.MultiheadAttention"
        if attention and not guarded(file, call, mask) and not _optional(file, mask) and not _kept(file, mask):
            yield Hit(
                call,
                f"A sample whose keys are all masked by {short(file, mask)} becomes NaN.",
                doubtful=not file.program,
            )


def _kept(file: File, mask: ast.expr) -> bool:
    return never_empty(file, mask) or unexplained(file, mask)


def _optional(file: File, mask: ast.expr) -> bool:
    """A parameter that is None unless somebody gives it, or a mask of finite numbers: no row has to be NaN."""
    if not isinstance(mask, ast.Name):
        return False
    if any("finfo" in file.segment(s) for s, _ in flow.bindings(file, file.scope(mask), mask.id)):
        return True
    default = flow.default(file.scope(mask), mask.id)
    return isinstance(default, ast.Constant) and default.value is None
