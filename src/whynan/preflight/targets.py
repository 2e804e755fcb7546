"""Numbers of classes and rows that are out of range, and targets that a loss cannot take.

A loss or an embedding in the step says how many classes or rows there are. Where its numbers are a tensor of the batch,
the extremes over all data are held against that, so that the one sample at the end of the data set is found too.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from whynan.case.preflight import Problem, Severity
from whynan.preflight.data.scan import Scan, key_of
from whynan.preflight.layers import LayerProbe
from whynan.replay.trace import OpRecord, TensorRef, Trace

_CLASSES = ("nll_loss_forward", "nll_loss2d_forward", "nll_loss", "nll_loss2d")
_PROBABILITIES = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


def problems(trace: Trace, probe: LayerProbe, scan: Scan) -> list[Problem]:
    """For the ops of the forward pass whose targets are wrong, and for rows that an embedding does not have."""
    found = [p for record in trace.records if record.phase == "forward" for p in _of(record, scan)]
    return [*found, *_rows(probe, scan)]


def _rows(probe: LayerProbe, scan: Scan) -> Iterator[Problem]:
    for name, used in probe.looked_up.items():
        low, high, samples = scan.extremes_of(used.indices) or (used.low, used.high, ())
        if low < 0 or high >= used.rows:
            yield Problem(
                part="data", kind="index-out-of-range", severity="error", where=name,
                message=f"the embedding has rows 0 to {used.rows - 1}", measured=f"indices from {low} to {high}",
                causes=("indexing-or-padding",), samples=samples,
                remedy=f"embedding = nn.Embedding({max(high + 1, used.rows)}, {used.dim})",
            )  # fmt: skip


def _of(record: OpRecord, scan: Scan) -> Iterator[Problem]:
    given = {ref.name: ref for ref in record.inputs}
    target, values = given.get("target"), given.get("self")
    if record.plan.base in ("_ctc_loss", "_cudnn_ctc_loss", "_use_cudnn_ctc_loss"):
        yield from _ctc(record)
    if target is None or values is None:
        return
    if record.plan.base in _CLASSES:
        yield from _classes(record, target, values, scan)
    elif record.plan.base in _PROBABILITIES and ((target.min or 0) < 0 or (target.max or 0) > 1):
        yield _problem(record, "target-out-of-range", "error", "targets of a binary cross entropy lie in [0, 1]",
                       f"targets from {target.min:.4g} to {target.max:.4g}")  # fmt: skip


def _classes(record: OpRecord, target: TensorRef, values: TensorRef, scan: Scan) -> Iterator[Problem]:
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
    samples: tuple[int, ...] = ()
    low, high = int(kept.min()), int(kept.max())
    if (over_all := scan.extremes_of(key_of(numbers))) is not None:
        low, high, samples = over_all if over_all[0] != ignored else (low, *over_all[1:])
    if low < 0 or high >= classes:
        yield _problem(record, "target-out-of-range", "error", f"class numbers go from 0 to {classes - 1}",
                       f"targets from {low} to {high}", samples)  # fmt: skip


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
