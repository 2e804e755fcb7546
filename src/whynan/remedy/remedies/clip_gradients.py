"""clip-gradients: bound the gradient before the step.

What it does
------------
Inserts `clip_grad_norm_` in front of `optimizer.step()`, after `scaler.unscale_` where a GradScaler is used. A
clip that is there already is made ten times tighter; a gradient that grows within one backward pass is clamped
where it passes.

When it applies
---------------
Gradients are finite and grow over steps or over layers: recurrent networks, a sudden steep place of the loss.

When it does not
----------------
It cannot repair a gradient that is Inf or NaN already (the norm is then Inf or NaN as well, and so is
everything that is scaled by it), nor a forward pass that overflows by itself. Adam divides by the gradient's
size: clipping changes little there.

Live
----
Gradients scaled to a common norm of at most 1 before every step, from the oldest snapshot on (`clip`).
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import flow, optimizers
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.finder import statement_at
from whynan.remedy.optimizers import Step
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("clip-gradients", "clip the gradients", where="project", live=("clip",))
def clip_gradients(report: Report, source: Source) -> list[Candidate]:
    if optimizers.calls_named(source, *optimizers.CLIPS):
        return _tighter(source) + _hooks(report, source)
    out = []
    for i, bound in enumerate(("1.0", "0.1")):
        edits = [e for step in optimizers.steps(source) for e in _clip(source, step, bound)]
        if edits:
            title = f"clip the norm of the gradients to {bound}"
            order = 0.3 + 2 * i + (6.0 if _too_late(report) else 0.0)
            exact = ("clip",) if i == 0 and not _in_closure(source) else ()
            out.append(
                Candidate("clip-gradients", title, source, tuple(edits), order=order, popular=i == 0, live=exact)
            )
    return out + _hooks(report, source)


def _in_closure(source: Source) -> bool:
    """Whether gradients are made inside of the step: a hook in front of it sees those of the step before."""
    return any(optimizers.closure_of(source, step) is not None for step in optimizers.steps(source))


def _too_late(report: Report) -> bool:
    """A gradient that is born Inf or NaN is there before any clip."""
    return report.birth is not None and report.birth.phase == "backward"


def _clip(source: Source, step: Step, bound: str) -> list[Edit]:
    clip = f"{source.spell('torch.nn.utils.clip_grad_norm_')}({optimizers.parameters(source, step)}, {bound})"
    lines = [clip]
    if step.scaler and not any(flow.last_name(c.func) == "unscale_" for c in source.calls):
        lines.insert(0, f"{step.scaler}.unscale_({step.optimizer})")
    closure = optimizers.closure_of(source, step)
    if closure is not None:
        inner = [c for c in optimizers.backward_calls(source) if closure in source.ancestors(c)]
        edit = source.insert_after(source.statement(inner[0]), *lines) if inner else None
    else:
        edit = source.insert_before(step.statement, *lines)
    return [edit, *source.importing("torch.nn.utils")] if edit else []


def _tighter(source: Source) -> list[Candidate]:
    """A clip that is there already, ten times tighter."""
    edits = []
    for call in optimizers.calls_named(source, *optimizers.CLIPS):
        bound = optimizers.option(call, "max_norm", 1) or optimizers.option(call, "clip_value", 1)
        if isinstance(bound, ast.Constant) and isinstance(bound.value, (int, float)):
            edits.append(source.replace(bound, f"{bound.value / 10:g}"))
    return (
        [Candidate("clip-gradients", "clip the gradients ten times tighter", source, tuple(edits), order=3.0)]
        if edits
        else []
    )


def _hooks(report: Report, source: Source) -> list[Candidate]:
    """Where the gradient grows within one backward pass: clip it at the birth, each time it passes."""
    birth = report.birth
    if (
        birth is None
        or birth.phase != "backward"
        or not any(c.class_ == "exploding-gradients" for c in report.causes[:3])
    ):
        return []
    statement = statement_at(source, birth.line or 0)
    if statement is None:
        return []
    losses = {
        source.segment(c.func.value) for c in optimizers.backward_calls(source) if isinstance(c.func, ast.Attribute)
    }
    names = [t.id for t, _ in flow.targets(statement) if isinstance(t, ast.Name) and t.id not in losses]
    out = []
    for name in names[:1]:
        hook = f"{name}.register_hook(lambda grad: grad.clamp(-1.0, 1.0))"
        edit = source.insert_after(statement, f"if {name}.requires_grad:", f"    {hook}")
        if edit:
            out.append(
                Candidate(
                    "clip-gradients", f"clip the gradient of {name} wherever it passes", source, (edit,), order=0.5
                )
            )
    return out
