"""clip-before-step: clip before the step, not after it.

What it does
------------
Moves a `clip_grad_norm_` that comes after `optimizer.step()` in front of it.

When it applies
---------------
The clip is there, but the optimizer has already used the gradients when it runs.

When it does not
----------------
Where nothing is clipped at all: that is clip-gradients.

Live
----
Gradients clipped before every step, from the oldest snapshot on (`clip`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import optimizers
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("clip-before-step", "clip before the step", where="project", live=("clip",))
def clip_before_step(report: Report, source: Source) -> list[Candidate]:
    out = []
    for step in optimizers.steps(source):
        block = _block(source, step.statement)
        for call in optimizers.calls_named(source, *optimizers.CLIPS):
            clip = source.statement(call)
            if clip not in block or block.index(clip) < block.index(step.statement) or not source.alone(clip):
                continue
            if not isinstance(clip, ast.Expr) or (block.index(clip) - block.index(step.statement) > 6):
                continue
            text = " ".join(source.segment(clip).split()) if clip.lineno != clip.end_lineno else source.segment(clip)
            edit = source.insert_before(step.statement, text)
            if edit:
                edits = (edit, _removal(source, clip))
                out.append(
                    Candidate(
                        "clip-before-step",
                        "clip the gradients before the step, not after it",
                        source,
                        edits,
                        "safe",
                        order=0.1,
                    )
                )
    return out


def _removal(source: Source, statement: ast.stmt) -> Edit:
    return Edit(source.starts[statement.lineno - 1], source.starts_after(statement), "")


def _block(source: Source, statement: ast.stmt) -> list[ast.stmt]:
    parent = source.parents.get(statement)
    for field in ("body", "orelse", "finalbody"):
        part = getattr(parent, field, None)
        if isinstance(part, list) and statement in part:
            return part
    return [statement]
