"""raise-optimizer-eps: raise the optimizer's eps.

What it does
------------
Sets eps to what the parameters' number format can hold: 1e-4 in float16, the library's default where it was 0.

When it applies
---------------
The update divides by sqrt(v) + eps and both are zero: eps=0, or the default 1e-8 with parameters in float16.

When it does not
----------------
Optimizers without a denominator (SGD), and updates that are large because the gradient is.

Live
----
A larger eps in every step (`opt-eps`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import flow, optimizers
from whynan.remedy.calls import set_option
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

WITH_EPS = {
    "Adam": 1e-8,
    "AdamW": 1e-8,
    "Adamax": 1e-8,
    "NAdam": 1e-8,
    "RAdam": 1e-8,
    "RMSprop": 1e-8,
    "Adagrad": 1e-10,
    "Adadelta": 1e-6,
    "SparseAdam": 1e-8,
}


@remedy("raise-optimizer-eps", "raise the optimizer's eps", where="project", live=("opt-eps",))
def raise_optimizer_eps(report: Report, source: Source) -> list[Candidate]:
    asked = any(c.class_ in ("optimizer-misuse", "low-precision-underflow") for c in report.causes[:3])
    if not asked and not (report.birth and report.birth.phase == "optimizer"):
        return []
    half = any(n in source.text for n in ("float16", ".half()", "torch.half"))
    out = []
    for i, eps in enumerate(("1e-4", "1e-3") if half else ("1e-8", "1e-6", "1e-4")):
        edits = []
        for call in optimizers.constructors(source):
            name = flow.last_name(call.func) or ""
            now = optimizers.option(call, "eps")
            value = now.value if isinstance(now, ast.Constant) else None
            old = value if isinstance(value, (int, float)) else (WITH_EPS.get(name, 0.0) if now is None else 0.0)
            if name in WITH_EPS and float(eps) > old:
                edits.append(set_option(source, call, "eps", eps))
        if edits:
            exact = ("opt-eps",) if eps == "1e-8" else ()
            title = f"give the optimizer eps={eps}"
            out.append(Candidate("raise-optimizer-eps", title, source, tuple(edits), order=0.3 + i, live=exact))
    return out
