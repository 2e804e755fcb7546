"""normalization-layer: normalise what goes into the op that overflowed.

What it does
------------
Inserts `F.layer_norm` in front of the layer where the activations overflowed. It changes the model.

When it applies
---------------
Activations grow from layer to layer, and neither the initialization nor the rate is to blame.

When it does not
----------------
Late in a long training: the weights are used to the scale they have. Loaded weights will not fit.

Live
----
The patched function itself, with the parameters as they were before the failure (`patched`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import finder
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import PATCHED, remedy
from whynan.remedy.source import Source

CAUSES = (
    "exploding-gradients",
    "bad-initialization",
    "learning-rate-too-high",
    "arithmetic-overflow",
    "low-precision-overflow",
)


@remedy("normalization-layer", "normalise the activations", live=(PATCHED,))
def normalization_layer(report: Report, source: Source) -> list[Candidate]:
    birth = report.birth
    if birth is None or birth.phase != "forward" or not any(c.class_ in CAUSES for c in report.causes[:3]):
        return []
    statement = finder.statement_at(source, birth.line or 0)
    if not isinstance(statement, (ast.Assign, ast.Return)):
        return []
    called = [
        a
        for c in ast.walk(statement)
        if isinstance(c, ast.Call) and not source.dotted(c.func)
        for a in c.args
        if isinstance(a, ast.Name)
    ]
    out = []
    for name in dict.fromkeys(a.id for a in called):
        line = f"{name} = {source.spell('torch.nn.functional.layer_norm')}({name}, {name}.shape[-1:])"
        edit = source.insert_before(statement, line)
        if edit:
            out.append(
                Candidate("normalization-layer", f"normalise {name} before this layer", source, (edit,), order=0.5)
            )
    return out[:2]
