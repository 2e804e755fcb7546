"""float64: compute in float64.

What it does
------------
Makes float64 the default type. A popular remedy that rarely cures: it is tried to say so.

When it applies
---------------
A finite result leaves the range of float32 once, or cancellation costs all digits.

When it does not
----------------
Divergence (it overflows later), division by zero, a log of zero, an undefined derivative: the same in any
precision. Twice the memory, and slow on a GPU.

Live
----
Everything in float64 from the oldest snapshot on (`float64`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import halves
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("float64", "compute in float64", where="project", live=("float64",))
def float64(report: Report, source: Source) -> list[Candidate]:
    imports = [n for n in source.tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    if not imports or "torch" not in source.aliases.values() or "set_default_dtype" in source.text:
        return []
    seeds = [source.statement(c) for c in halves.seeds(source)]
    first = next((s for s in source.tree.body if s in seeds), None)
    line = f"{source.spell('torch.set_default_dtype')}({source.spell('torch.float64')})"
    edit = source.insert_after(first, line) if first else source.insert_after(imports[-1], "", line)
    return (
        [Candidate("float64", "compute in float64", source, (edit,), order=5.0, popular=True, live=("float64",))]
        if edit
        else []
    )
