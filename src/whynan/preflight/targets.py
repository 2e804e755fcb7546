"""Targets that the loss cannot take, read off the step: class numbers without a class, probabilities out of range."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from whynan.case.preflight import Problem
from whynan.replay.trace import OpRecord, TensorRef, Trace

_CLASSES = ("nll_loss_forward", "nll_loss2d_forward", "nll_loss", "nll_loss2d")


def problems(trace: Trace) -> list[Problem]:
    """One for each op of the forward pass whose targets are wrong."""
    return [p for record in trace.records if record.phase == "forward" for p in _of(record)]


def _of(record: OpRecord) -> Iterator[Problem]:
    given = {ref.name: ref for ref in record.inputs}
    target, values = given.get("target"), given.get("self")
    if target is None or values is None:
        return
    if record.plan.base in _CLASSES:
        yield from _classes(record, target, values)
    elif record.plan.base == "binary_cross_entropy" and ((target.min or 0) < 0 or (target.max or 0) > 1):
        yield _problem(record, "target-out-of-range", "error", "targets of a binary cross entropy lie in [0, 1]",
                       f"targets from {target.min:.4g} to {target.max:.4g}")  # fmt: skip


def _classes(record: OpRecord, target: TensorRef, values: TensorRef) -> Iterator[Problem]:
    numbers = target.tensor
    if numbers is None:
        return
    ignored = int(dict(zip(record.plan.names, record.args)).get("ignore_index", -100))
    classes = values.shape[1] if len(values.shape) > 1 else values.shape[0]
    with torch.no_grad():
        kept = numbers[numbers != ignored]
    if not kept.numel():
        yield _problem(record, "all-targets-ignored", "error", "every target is ignored: the mean over none is NaN",
                       f"{numbers.numel()} targets, all {ignored}")  # fmt: skip
        return
    low, high = int(kept.min()), int(kept.max())
    if low < 0 or high >= classes:
        yield _problem(record, "target-out-of-range", "error", f"class numbers go from 0 to {classes - 1}",
                       f"targets from {low} to {high}")  # fmt: skip


def _problem(record: OpRecord, kind: str, severity: str, message: str, measured: str) -> Problem:
    site = record.stack[-1] if record.stack else None
    where = f"{site.file}:{site.line}" if site else record.op
    return Problem(
        part="data", kind=kind, severity=severity, where=where, message=message, measured=measured,  # type: ignore[arg-type]
        causes=("all-targets-ignored" if kind == "all-targets-ignored" else "indexing-or-padding",),
        file=site.file if site else None, line=site.line if site else None,
    )  # fmt: skip
