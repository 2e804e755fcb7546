"""Numbers of classes and rows that are out of range, and targets that a loss cannot take.

A loss or an embedding in the step says how many classes or rows there are. Where its numbers are a tensor of the batch,
the extremes over all data are held against that, so that the one sample at the end of the data set is found too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch

from whynan.case.preflight import Problem, Severity
from whynan.preflight.data.scan import Scan, key_of
from whynan.preflight.layers import LayerProbe
from whynan.replay.trace import OpRecord, TensorRef, Trace

Extremes = tuple[int, int, tuple[int, ...]]
_BOUNDS = re.compile(r"Target (-?\d+) is out of bounds")  # what torch raises on the CPU
_CLASSES = ("nll_loss_forward", "nll_loss2d_forward", "nll_loss", "nll_loss2d")
_PROBABILITIES = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


def out_of_bounds(failure: Problem | None, trace: Trace, scan: Scan) -> Iterator[Problem]:
    """A first step that raises for a class that does not exist: what the data hold, how many classes there are."""
    said = _BOUNDS.search(failure.message) if failure is not None else None
    scores = next((r.outputs[0] for r in reversed(trace.records) if r.phase == "forward" and r.outputs), None)
    if said is None or failure is None or scores is None or len(scores.shape) < 2:
        return
    number, classes = int(said[1]), scores.shape[1]
    for name in scan.tensors:
        found = scan.extremes(name)
        if found is not None and number in found[:2]:
            low, high, samples = found
            yield Problem(
                part="data", kind="target-out-of-range", severity="error", where=name,
                message=f"class numbers go from 0 to {classes - 1}", measured=f"targets from {low} to {high}",
                samples=samples, causes=("indexing-or-padding",), file=failure.file, line=failure.line,
                remedy=f"{name} = {name} - {low}  # from 0 on" if low > 0 and high - low < classes else None,
            )  # fmt: skip


def problems(trace: Trace, probe: LayerProbe, scan: Scan, others: Iterable[Scan] = ()) -> list[Problem]:
    """For the ops of the forward pass whose targets are wrong, and for rows that an embedding does not have.

    others: data that training is not fed; their numbers have to fit the same layers and losses.
    """
    scans = Scans(scan, tuple(others))
    found = [p for record in trace.records if record.phase == "forward" for p in _of(record, scans)]
    return [*found, *_rows(probe, scans)]


@dataclass(frozen=True)
class Scans:
    """What training is fed, and the other data."""

    own: Scan
    others: tuple[Scan, ...]

    def extremes(self, key: tuple[int, int], ignored: int | None = None) -> Iterator[tuple[str, Extremes]]:
        """(variable or "", smallest and largest number and the sample of that) of the tensor of this `key_of`."""
        name = self.own.name_of(key)
        for one in (self.own, *self.others):
            found = one.extremes(name) if name is not None else None
            if found is not None and not (found[0] == ignored and found[1] == ignored):
                yield one.shown("") if one.source else "", found


def _rows(probe: LayerProbe, scans: Scans) -> Iterator[Problem]:
    for name, used in probe.looked_up.items():
        seen = list(scans.extremes(used.indices)) or [("", (used.low, used.high, ()))]
        for source, (low, high, samples) in seen:
            if low >= 0 and high < used.rows:
                continue
            yield Problem(
                part="data", kind="index-out-of-range", severity="error", where=f"{source}{name}",
                message=f"the embedding has rows 0 to {used.rows - 1}", measured=f"indices from {low} to {high}",
                causes=("indexing-or-padding",), samples=samples,
                remedy=f"embedding = nn.Embedding({max(high + 1, used.rows)}, {used.dim})",
            )  # fmt: skip


def _of(record: OpRecord, scans: Scans) -> Iterator[Problem]:
    given = {ref.name: ref for ref in record.inputs}
    target, values = given.get("target"), given.get("self")
    if record.plan.base in ("_ctc_loss", "_cudnn_ctc_loss", "_use_cudnn_ctc_loss"):
        yield from _ctc(record)
    if target is None or values is None:
        return
    if record.plan.base in _CLASSES:
        yield from _classes(record, target, values, scans)
    elif record.plan.base in _PROBABILITIES and ((target.min or 0) < 0 or (target.max or 0) > 1):
        yield _problem(record, "target-out-of-range", "error", "targets of a binary cross entropy lie in [0, 1]",
                       f"targets from {target.min:.4g} to {target.max:.4g}")  # fmt: skip


def _classes(record: OpRecord, target: TensorRef, values: TensorRef, scans: Scans) -> Iterator[Problem]:
    numbers = target.tensor
    if numbers is None:
        return
    ignored = int(dict(zip(record.plan.names, record.args)).get("ignore_index", -100))
    classes = values.shape[1] if len(values.shape) > 1 else values.shape[0]
    with torch.no_grad():
        kept = numbers[numbers != ignored]
    if not kept.numel():
        if any(ref.bad for ref in record.outputs):  # a sum over none is 0
            yield _problem(record, "all-targets-ignored", "error", "every target is ignored: the mean over none is NaN",
                           f"{numbers.numel()} targets, all {ignored}")  # fmt: skip
        return
    here: tuple[str, Extremes] = ("", (int(kept.min()), int(kept.max()), ()))
    for source, (low, high, samples) in list(scans.extremes(key_of(numbers), ignored)) or [here]:
        low = here[1][0] if low == ignored else low
        if low < 0 or high >= classes:
            found = _problem(record, "target-out-of-range", "error", f"class numbers go from 0 to {classes - 1}",
                             f"targets from {low} to {high}", samples)  # fmt: skip
            yield replace(found, where=f"{source}targets") if source else found


def _ctc(record: OpRecord) -> Iterator[Problem]:
    """A target needs a frame for each label, and one more between two equal ones (Graves et al. 2006)."""
    given = dict(zip(record.plan.names, record.args)) | record.kwargs
    inputs, targets = (_lengths(given.get(name)) for name in ("input_lengths", "target_lengths"))
    if inputs is None or targets is None or given.get("zero_infinity"):
        return
    short = tuple(i for i, (n, m) in enumerate(zip(inputs, targets, strict=False)) if n < m)
    if short:
        i = short[0]
        yield Problem(
            part="data", kind="ctc-input-too-short", severity="error", where=_where(record),
            message="the target has more labels than the input has frames: the loss is infinite",
            measured=f"{len(short)} of {len(inputs)} samples, first {targets[i]} labels in {inputs[i]} frames",
            samples=short[:8], causes=("indexing-or-padding",), remedy="criterion = nn.CTCLoss(zero_infinity=True)",
            file=record.site.file if record.site else None, line=record.site.line if record.site else None,
        )  # fmt: skip


def _lengths(value: object) -> list[int] | None:
    if isinstance(value, TensorRef):
        value = value.value
    if isinstance(value, torch.Tensor):
        return [int(n) for n in value.reshape(-1).tolist()]
    return [int(n) for n in value] if isinstance(value, (list, tuple)) else None


def _where(record: OpRecord) -> str:
    site = record.site
    return f"{site.file}:{site.line}" if site else record.op


def _problem(
    record: OpRecord, kind: str, severity: Severity, message: str, measured: str, samples: tuple[int, ...] = ()
) -> Problem:
    site = record.site
    return Problem(
        part="data", kind=kind, severity=severity, where=_where(record), message=message, measured=measured,
        samples=samples, causes=("all-targets-ignored" if kind == "all-targets-ignored" else "indexing-or-padding",),
        file=site.file if site else None, line=site.line if site else None,
    )  # fmt: skip
