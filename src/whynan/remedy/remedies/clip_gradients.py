"""clip-gradients, clip-before-step, unscale-before-clip: bound the gradient, at the right place."""

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

CLIPS = ("clip_grad_norm_", "clip_grad_value_", "clip_grad_norm")


@remedy("clip-gradients", "clip the gradients", where="project")
def clip_gradients(report: Report, source: Source) -> list[Candidate]:
    """Insert clip_grad_norm_ in front of optimizer.step(), after scaler.unscale_ where a GradScaler is used.

    Bounds finite gradients. It cannot repair an Inf or NaN gradient, nor a forward pass that overflows by itself.
    """
    if optimizers.calls_named(source, *CLIPS):
        return _tighter(source) + _hooks(report, source)
    out = []
    for i, bound in enumerate(("1.0", "0.1")):
        edits = [e for step in optimizers.steps(source) for e in _clip(source, step, bound)]
        if edits:
            title = f"clip the norm of the gradients to {bound}"
            order = 0.3 + 2 * i + (6.0 if _too_late(report) else 0.0)
            out.append(Candidate("clip-gradients", title, source, tuple(edits), order=order, popular=i == 0))
    return out + _hooks(report, source)


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
    for call in optimizers.calls_named(source, *CLIPS):
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


@remedy("clip-before-step", "clip before the step", where="project")
def clip_before_step(report: Report, source: Source) -> list[Candidate]:
    """Move a clip_grad_norm_ that comes after optimizer.step() in front of it."""
    out = []
    for step in optimizers.steps(source):
        block = _block(source, step.statement)
        for call in optimizers.calls_named(source, *CLIPS):
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
    start, last = source.starts[statement.lineno - 1], statement.end_lineno or statement.lineno
    return Edit(start, source.starts[last] if last < len(source.starts) else len(source.data), "")


def _block(source: Source, statement: ast.stmt) -> list[ast.stmt]:
    parent = source.parents.get(statement)
    for field in ("body", "orelse", "finalbody"):
        part = getattr(parent, field, None)
        if isinstance(part, list) and statement in part:
            return part
    return [statement]


@remedy("unscale-before-clip", "unscale before clipping", safety="safe", where="project")
def unscale_before_clip(report: Report, source: Source) -> list[Candidate]:
    """Insert scaler.unscale_(optimizer) in front of a clip that sees scaled gradients."""
    scaled = [s for s in optimizers.steps(source) if s.scaler]
    if not scaled or any(flow.last_name(c.func) == "unscale_" for c in source.calls):
        return []
    out = []
    for call in optimizers.calls_named(source, *CLIPS):
        edit = source.insert_before(source.statement(call), f"{scaled[0].scaler}.unscale_({scaled[0].optimizer})")
        if edit:
            out.append(
                Candidate(
                    "unscale-before-clip",
                    "unscale the gradients before clipping them",
                    source,
                    (edit,),
                    "safe",
                    order=0.1,
                )
            )
    return out[:1]
