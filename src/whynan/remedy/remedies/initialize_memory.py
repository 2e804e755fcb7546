"""initialize-memory: initialize allocated memory.

What it does
------------
`torch.empty` holds whatever was in memory before: zeros instead, or small random numbers for a weight matrix.

When it applies
---------------
A tensor made by `empty`, `empty_like`, `new_empty` or `torch.Tensor(n)` is read before it is written.

When it does not
----------------
Where every element is written before it is read, as in `torch.empty(n).uniform_()`.

Live
----
Memory is zeroed when it is allocated (`zero-memory`); where it was allocated before training, its non-finite
entries are replaced by the mean of the others (`mend-state`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import flow
from whynan.remedy.calls import without_option
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.form import form
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

EMPTY = {"empty": "zeros", "empty_like": "zeros_like", "new_empty": "new_zeros", "empty_strided": "zeros"}


@remedy(
    "initialize-memory",
    "initialize allocated memory",
    safety="safe",
    where="project",
    live=("zero-memory", "mend-state"),
)
def initialize_memory(report: Report, source: Source) -> list[Candidate]:
    out = []
    for call in source.calls:
        f = form(source, call)
        if f.op not in EMPTY and source.dotted(call.func) not in ("torch.Tensor", "torch.FloatTensor"):
            continue
        parent = source.parents.get(call)
        if isinstance(parent, ast.Attribute) and parent.attr.endswith("_"):
            continue  # torch.empty(n).uniform_(): filled at once
        name = EMPTY.get(f.op)
        if name is None:
            name, edit = "zeros", source.replace(call.func, source.spell("torch.zeros"))
        elif isinstance(call.func, ast.Attribute):
            start = source.span(call.func)[1] - len(call.func.attr)
            edit = Edit(start, source.span(call.func)[1], name)
        else:
            continue
        weight = _parameter(source, call) and len(call.args) > 1
        out.append(
            Candidate(
                "initialize-memory",
                f"{name} instead of uninitialized memory",
                source,
                (edit,),
                "safe",
                order=0.5 if weight else 0.2,
            )
        )
        if weight and isinstance(call.func, ast.Attribute):
            text = f"{source.spell('torch.randn')}({without_option(source, call, '')}) * 0.02"
            out.append(
                Candidate(
                    "initialize-memory",
                    "small random weights instead of uninitialized memory",
                    source,
                    (source.replace(call, text),),
                    order=0.3,
                )
            )
    every = tuple(e for c in out if c.safety == "safe" for e in c.edits)
    if len(every) > 1:
        out.append(
            Candidate("initialize-memory", "zeros wherever memory was left uninitialized", source, every, order=1.0)
        )
    return out


def _parameter(source: Source, call: ast.Call) -> bool:
    parent = source.parents.get(call)
    return isinstance(parent, ast.Call) and flow.last_name(parent.func) == "Parameter"
