"""What `whynan check` found before a run, as frozen dataclasses: the JSON schema `whynan.check/1`.

Plain data, like `facts`: statistics of columns, layers and ops, and the problems that follow from them. Elements of
tensors are not in it, only where they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Literal

CHECK_SCHEMA = "whynan.check/1"

Part = Literal["data", "initialization", "step", "settings", "source"]
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that will make, or may make, a run non-finite. `error`: it will; `warning`: it may; `note`: look."""

    part: Part
    kind: str  # "nan-in-column", registered name of the check that found it
    severity: Severity
    where: str  # column, layer, op or setting, in the user's words
    message: str
    measured: str
    samples: tuple[int, ...] = ()  # indices in the data set, or positions in the order of the loader
    causes: tuple[str, ...] = ()  # cause classes that this leads to
    remedy: str | None = None  # code
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column (channel) of one tensor of the batches, over the whole data set."""

    tensor: str
    index: int | None  # None where the tensor has one dimension
    dtype: str
    count: int
    nan: int = 0
    inf: int = 0
    zeros: int = 0
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    median: float | None = None
    spread: float | None = None  # 1.4826 * median absolute deviation, which is the std of normal data
    worst: float | None = None  # the value farthest from the median
    worst_z: float | None = None  # its distance from the median in units of `spread`


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One module that owns parameters, on one batch: scale of what leaves it, of its gradient, of its weights."""

    name: str
    kind: str
    activation_std: float | None = None
    activation_absmax: float | None = None
    dead: float | None = None  # share of units that are zero for every sample of the batch
    gradient_norm: float | None = None
    weight_std: float | None = None
    gain: float | None = None  # weight_std * sqrt(fan_in): about 1 keeps the scale
    recommended: str | None = None
    std_recommended: float | None = None  # activation_std when every layer is initialised as recommended


@dataclass(frozen=True, kw_only=True)
class Edge:
    """How far one op of the step is from where it stops being finite.

    `distance` is relative: |nearest - edge| / (size of the edge, or of the operand where the edge is 0).
    """

    op: str
    argument: str
    edge: str  # "0 (log)", "88.72 (exp)"
    nearest: float
    distance: float
    dtype: str
    file: str | None = None
    line: int | None = None
    expression: str | None = None
    module: str | None = None
    phase: str | None = None
    cancels: bool = False  # the operand is a difference, so that it can round to 0


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """What a module's values would meet in half precision: largest and smallest magnitudes of one step."""

    module: str
    absmax: float
    smallest: float | None  # smallest non-zero magnitude
    gradient_absmax: float | None = None
    gradient_smallest: float | None = None
    float16: str = "fits"  # "fits", "overflows", "underflows", "overflows and underflows"
    bfloat16: str = "fits"


@dataclass(frozen=True, kw_only=True)
class OpHeadroom:
    """What one op of the user's source would meet in half precision: the operand or result that comes closest.

    Room is in powers of ten of magnitude: between the number and the edge, or what rounds to it. 0: it is lost.
    """

    op: str
    argument: str  # "self", "other"; "result", "gradient"; the constant, where an eps rounds to 0
    dtype: str  # of the step
    nearest: float  # the number of the step that comes closest
    float16: str  # "8.8 below 11.09 (exp overflows)"
    bfloat16: str
    room_float16: float
    room_bfloat16: float
    autocast: bool = False  # torch.autocast on CUDA computes it in float32
    file: str | None = None
    line: int | None = None
    expression: str | None = None
    module: str | None = None


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """The whole answer of `whynan check`."""

    verdict: Literal["ready", "problems"]
    program: str
    problems: tuple[Problem, ...] = ()
    batches: int = 0
    samples: int = 0
    complete: bool = True  # the whole data set was scanned
    loaders: dict[str, int] = field(default_factory=dict)  # other data that were scanned: variable -> samples
    tried: int = 0  # batches that were put through one step each, at the initial weights
    updates: int = 0  # iterations that were executed one after the other, as the run would
    columns: tuple[Column, ...] = ()
    layers: tuple[Layer, ...] = ()
    edges: tuple[Edge, ...] = ()
    headroom: tuple[Headroom, ...] = ()
    ops: tuple[OpHeadroom, ...] = ()  # the same by line of the source, the tightest first
    settings: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    schema: str = CHECK_SCHEMA

    def __str__(self) -> str:
        """What `whynan check` prints. Like Report, the answer looks for the room that draws it only when asked."""
        text: str = import_module("whynan.report.preflight").text(self)
        return text

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        html: str = import_module("whynan.report.preflight_page").notebook(self)
        return html
