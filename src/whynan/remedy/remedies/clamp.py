"""clamp: keep an argument inside the domain or the range of its op.

What it does
------------
Clamps the argument of the op that failed: away from zero for log and division, below the edge for exp, inside
(-1, 1) for acos. For a batch value that is finite but extreme, the batch or the target of the loss is clamped
instead; for a schedule that writes betas, momentum or eps, the setting; for one whose learning rate went below 0,
the rate.

When it applies
---------------
The argument leaves the domain by a little (rounding, a saturated probability, a correlation of 1), or a single
value is far outside of what the others are.

When it does not
----------------
The derivative outside of the range is zero: a parameter that sits there does not come back by itself. It does
not help where the argument is NaN already, and hides a wrong sign where the argument is negative on purpose.

Live
----
The argument of the op is kept inside its domain, at that line only (`op-guard`); batches limited to the range
of those before (`winsorise`); betas kept below 1 (`betas`); the learning rate from 0 on (`positive-lr`); or the patched
function itself.
"""

from __future__ import annotations

import ast

from whynan.case.facts import Report
from whynan.remedy import loops, wraps
from whynan.remedy.candidate import Candidate
from whynan.remedy.finder import hyper_statements, schedule_values
from whynan.remedy.form import form
from whynan.remedy.guarding import guarded
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

FIRST = -4.0  # the one patch that fits; the optimizer's other misuses come before a clamp


LIVE = ("op-guard", "winsorise", "betas", "positive-lr")


@remedy("clamp", "keep the argument inside the domain", where="birth", live=LIVE)
def clamp(report: Report, source: Source) -> list[Candidate]:
    guards = guarded(report, source, "clamp")
    return [*guards, *settings(report, source), *_rates(report, source), *winsorised(report, source)]


def settings(report: Report, source: Source) -> list[Candidate]:
    """A schedule that writes betas, momentum or eps into param_groups, held inside what the optimizer can use."""
    if report.birth is None or report.birth.phase != "optimizer":
        return []
    out = []
    for statement in hyper_statements(source):
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Subscript):
            continue
        key = getattr(statement.targets[0].slice, "value", None)
        values = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
        values = [v for v in values if not isinstance(v, (ast.Name, ast.Constant))] or values
        if key in ("betas", "momentum", "alpha", "rho"):
            edits = wraps.to_edits([wraps.clamp(source, v, "number", None, "0.999") for v in values])
            out.append(Candidate("clamp", f"keep {key} below 1", source, edits, order=0.2))
        elif key == "eps":
            edits = wraps.to_edits([wraps.clamp(source, v, "number", "1e-8") for v in values])
            out.append(Candidate("clamp", "keep eps above 0", source, edits, order=0.2))
    return out


def _rates(report: Report, source: Source) -> list[Candidate]:
    """The rate that a schedule returns or writes, from 0 on."""
    if not any(c.name == "negative-learning-rate" for c in report.causes[:2]):
        return []
    out = []
    for value in schedule_values(source):
        edits = wraps.to_edits([wraps.clamp(source, value, "number", "0.0")])
        out.append(Candidate("clamp", "keep the learning rate at least 0", source, edits, order=FIRST))
    return out


def winsorised(report: Report, source: Source) -> list[Candidate]:
    """Extreme values of the batch, cut at the top of the training loop."""
    if not any(c.class_ in ("input-scale", "arithmetic-overflow", "bad-input") for c in report.causes[:3]):
        return []
    out = []
    for loop in loops.training_loops(source):
        if loop.whole:
            continue
        for i, bound in enumerate(("1e4", "1e2")):
            lines = [f"{n} = {n}.clamp(-{bound}, {bound})" for n in loop.names]
            edit = source.insert_before(loop.top, *lines)
            if edit:
                out.append(
                    Candidate("clamp", f"keep the batch between -{bound} and {bound}", source, (edit,), order=1.5 + i)
                )
    return out + _targets(report, source)


def _targets(report: Report, source: Source) -> list[Candidate]:
    """The second argument of a loss that squares: one extreme target is enough to overflow it."""
    out = []
    for call in source.calls:
        f = form(source, call)
        if f.op in ("mse_loss", "smooth_l1_loss", "huber_loss") and len(f.args) > 1 and f.lib in ("torch", "module"):
            edits = wraps.to_edits([wraps.clamp(source, f.args[1].node, "tensor", "-1e4", "1e4")])
            out.append(Candidate("clamp", "keep the target of the loss between -1e4 and 1e4", source, edits, order=0.8))
    return out
