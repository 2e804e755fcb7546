"""Where the bad value of one step was born, in the few words that `whynan check` needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from whynan.replay.trace import TensorRef, Trace


@dataclass(frozen=True)
class Where:
    """An op in the user's source that made it, or (`entered`) a tensor that held it before the step."""

    message: str
    measured: str
    file: str | None = None
    line: int | None = None
    entered: str | None = None

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.file else self.entered or "the step"


def where_of(trace: Trace, tensors: Sequence[Tensor], name_of: Callable[[Tensor], str | None]) -> Where | None:
    """The birth that reaches `tensors` (a loss, gradients). None where the trace does not say."""
    finding = trace.births_reaching(list(tensors)) if tensors else None
    if finding is None:
        return None
    birth = finding.birth
    if birth is None:
        source = finding.source
        name = name_of(source.tensor) if source is not None and source.tensor is not None else None
        return Where("it was there before the step", repr(source), entered=name or (source.name if source else None))
    site = birth.site
    shown = f"`{site.expression}`: " if site is not None and site.expression and len(site.expression) < 60 else ""
    return Where(
        message=f"{shown}{birth.op} in {birth.phase} gives {finding.kind} there first",
        measured="; ".join(map(_fact, birth.inputs[:3])),
        file=site.file if site is not None else None,
        line=site.line if site is not None else None,
    )


def _fact(ref: TensorRef) -> str:
    extremes = "" if ref.min is None or ref.max is None else f" in [{ref.min:.4g}, {ref.max:.4g}]"
    return f"{ref.name}: {str(ref.dtype).removeprefix('torch.')}{list(ref.shape)}{extremes}"
