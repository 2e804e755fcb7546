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
class Histogram:
    """Counts of the finite elements of one tensor: `counts[i]` lie in [bounds[i], bounds[i + 1]), in the last bin also
    its upper bound; together they are all finite elements, zeros included.

    `axis` says how the bounds are spaced: "linear", "log" (all positive), or "symlog" (powers of ten on both sides of
    a bin around zero; 0 is the first or the last bound where all elements are on one side of it). `edge` is the value
    at which the op, or its derivative, stops being finite, where one number says that (0 for log, 88.72 for exp in
    float32), `beyond` the side that is lost.
    """

    name: str
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    axis: Literal["linear", "log", "symlog"] = "linear"
    zeros: int = 0
    nonfinite: int = 0
    edge: float | None = None
    edge_label: str | None = None
    beyond: Literal["below", "above", "at"] | None = None


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
    histograms: tuple[Histogram, ...] = ()  # of the inputs
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
    source: str | None = None  # the source line
    expression: str | None = None
    shape: tuple[int, ...] | None = None  # of the output that the story follows
    dtype: str | None = None
    min: float | None = None
    max: float | None = None
    nonfinite: int = 0
    total: int = 0
    inputs: tuple[int, ...] = ()  # positions in the path of the steps that this one read


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One measurement and what it means, both in words a user can follow."""

    what: str
    measured: str
    means: str


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One counterfactual: the same iterations again with one thing changed."""

    name: str
    changed: str  # "with gradients clipped to norm 1 before each step"
    cured: bool
    what: str  # what happened, in words
    steps: int = 0
    usable: bool = True  # False: it could not be tried, and says nothing
    loss_before: float | None = None
    loss_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Layers:
    """A table of layers by steps: `values[i][j]` is `what` of layer `names[i]` at `steps[j]`, None where not looked at.

    A layer is the module that owns the parameters; its norm is the 2-norm over its parameters.
    """

    what: Literal["gradient norm", "weight norm", "update ratio"]
    names: tuple[str, ...]
    steps: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One tensor of the failing batch, by sample and (2-D: by feature; 4-D: by channel) by column."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    row_absmax: tuple[float, ...] = ()  # over the finite elements of each of the first rows
    row_nonfinite: tuple[int, ...] = ()
    column_absmax: tuple[float, ...] = ()
    column_nonfinite: tuple[int, ...] = ()
    indices: tuple[int, ...] = ()  # indices in the data set of the rows, where a DataLoader drew them


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An early warning, or something that a guard did. `kind` is its registered name, `name` the parameter's."""

    step: int
    kind: str
    message: str
    name: str | None = None
    value: float | None = None


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
    environment: dict[str, str] = field(default_factory=dict)  # platform, versions, settings that change numerics


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
    experiments: tuple[Experiment, ...] = ()
    layers: tuple[Layers, ...] = ()
    batch: tuple[Batch, ...] = ()
    alerts: tuple[Alert, ...] = ()  # early warnings before the failure, oldest first
    actions: tuple[Alert, ...] = ()  # what guards did, oldest first
    remedies: tuple[Remedy, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()  # what the tool could not do, and how it came to know what it says
    reproduced: Literal["bitwise", "eager", "rerun", "no", "not tried"] = "not tried"
    schema: str = SCHEMA

    def _repr_html_(self) -> str:
        """What a notebook shows: it asks the object, so this is the one place where data look for their room."""
        from importlib import import_module

        html: str = import_module("whynan.report.notebook").notebook(self)
        return html
