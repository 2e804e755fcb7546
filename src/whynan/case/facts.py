"""What is known about one run: the report as frozen dataclasses, field for field the JSON schema `whynan.report/1`.

Everything here is plain data. No room computes in it and it never imports torch, so a report can be read, shown and
compared on a machine that has neither the model nor PyTorch. `class_` is spelled `class` in JSON. Numbers may be nan or
infinite here; `strict_json` writes those as the strings "nan", "inf" and "-inf".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = "whynan.report/1"

Verdict = Literal["healthy", "nonfinite", "suspect"]
Phase = Literal["data", "init", "forward", "backward", "optimizer"]
What = Literal["loss", "gradient", "parameter", "buffer", "state", "output", "exception"]
State = Literal["born", "carried", "absorbed", "placed", "finite"]
Level = Literal["proved", "supported", "guess"]


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """Statistics of one tensor, never its elements. min, max, mean, std, absmax are over the finite elements."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    numel: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    absmax: float | None = None
    smallest_nonzero: float | None = None  # smallest absolute value that is not zero
    zeros: int = 0
    nonfinite: int = 0
    nan: int = 0
    posinf: int = 0
    neginf: int = 0
    value: float | None = None  # the value itself, when the tensor is a scalar


@dataclass(frozen=True, kw_only=True)
class Elements:
    """Which elements went wrong: how many of how many, and the first few indices (C order)."""

    count: int
    total: int
    first: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Site:
    """A place in the user's source. Lines are 1-based, columns 0-based (UTF-8 offsets, as in `ast`)."""

    file: str
    line: int
    end_line: int | None = None
    column: int | None = None
    end_column: int | None = None
    function: str | None = None
    source: str | None = None  # the source line, stripped of its newline
    expression: str | None = None  # the very expression that was running


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """What a user could notice."""

    step: int
    iteration: int | None
    what: What
    name: str | None = None
    value: str | None = None  # "nan", "inf", "-inf", or the message of the exception


@dataclass(frozen=True, kw_only=True)
class Birth:
    """THE answer to "where": the earliest birth on the data-flow path that reaches the symptom."""

    step: int
    iteration: int | None
    phase: Phase
    kind: Literal["nan", "inf"]
    op: str | None
    api: str | None = None  # the call as the user wrote it, "torch.log" or "x.log()"
    autograd_node: str | None = None
    file: str | None = None
    line: int | None = None
    end_line: int | None = None
    column: int | None = None
    end_column: int | None = None
    source: str | None = None
    expression: str | None = None
    function: str | None = None
    module: str | None = None
    tensor: str | None = None  # name of the parameter, buffer, state entry, or batch item concerned
    inputs: tuple[TensorFacts, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    elements: Elements | None = None
    rows: tuple[int, ...] = ()  # sample indices within the batch
    stack: tuple[Site, ...] = ()  # user frames, outermost first
    note: str | None = None  # a sentence that a reader needs, e.g. where a bad batch value came from


@dataclass(frozen=True, kw_only=True)
class PathStep:
    """One op between the first growth and the symptom."""

    op: str
    state: State
    file: str | None = None
    line: int | None = None
    module: str | None = None
    absmax: float | None = None
    phase: Phase | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One measurement and what it means, both in words a user can follow."""

    what: str
    measured: str
    means: str


@dataclass(frozen=True, kw_only=True)
class Cause:
    class_: str
    level: Level
    score: float
    summary: str
    evidence: tuple[Evidence, ...] = ()
    name: str | None = None  # the finer cause within the class, e.g. "where-trap"


@dataclass(frozen=True, kw_only=True)
class Trial:
    how: Literal["replay", "rerun"]
    steps: int
    finite: bool
    loss_before: float | None = None
    loss_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Remedy:
    class_: str
    title: str
    patch: str | None = None  # unified diff of the user's file
    verified: bool = False
    trial: Trial | None = None
    safety: Literal["safe", "unsafe", "display-only"] = "unsafe"
    advice: str | None = None  # what to do by hand where no patch can cure


@dataclass(frozen=True, kw_only=True)
class Rejected:
    class_: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Run:
    script: str
    argv: tuple[str, ...] = ()
    python: str | None = None
    torch: str | None = None
    device: str | None = None
    steps: int = 0
    seconds: float = 0.0
    overhead: float | None = None  # seconds spent in whynan's own watching
    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole answer. `healthy` reports carry only `run`."""

    verdict: Verdict
    run: Run
    symptom: Symptom | None = None
    birth: Birth | None = None
    path: tuple[PathStep, ...] = ()
    history: dict[str, list[Any]] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()  # what the tool could not do, and how it came to know what it says
    reproduced: Literal["bitwise", "eager", "rerun", "no", "not tried"] = "not tried"
    schema: str = SCHEMA
