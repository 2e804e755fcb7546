"""bfloat16: bfloat16 instead of float16.

What it does
------------
Uses bfloat16, which has the range of float32, in autocast, for `.half()` models and for `dtype=torch.float16`.

When it applies
---------------
Overflow in float16, an eps or a gradient that float16 rounds to zero, a loss scale that is misused (bfloat16
needs none).

When it does not
----------------
It has 8 significant bits: sums of many small numbers and differences of near ones lose more than in float16.

Live
----
float16 tensors and autocast in bfloat16 (`bfloat16`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import calls, halves
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("bfloat16", "bfloat16 instead of float16", where="project", live=("bfloat16",))
def bfloat16(report: Report, source: Source) -> list[Candidate]:
    names, casts = halves.half_names(source), halves.half_calls(source)
    edits = [source.replace(n, source.spell("torch.bfloat16")) for n in names]
    edits += [Edit(source.span(c.func.value)[1], source.span(c)[1], ".bfloat16()") for c in casts]  # type: ignore[attr-defined]
    if not edits:
        edits = [
            calls.set_option(source, c, "dtype", source.spell("torch.bfloat16"))
            for c in halves.autocasts(source)
            if not _has_dtype(c)
        ]
    return [Candidate("bfloat16", "bfloat16 instead of float16", source, tuple(edits), order=0.4)] if edits else []


def _has_dtype(call: ast.Call) -> bool:
    return any(k.arg == "dtype" for k in call.keywords)
