"""What a search found, as plain data: printed, written as JSON (`whynan.fuzz/1`), and returned by `whynan.fuzz`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = "whynan.fuzz/1"


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One argument of the failing call; `literal` is Python that makes it."""

    name: str
    dtype: str | None
    shape: tuple[int, ...]
    literal: str


@dataclass(frozen=True, kw_only=True)
class Repair:
    """A patch that was applied and run: finite on all of `cured` failing inputs, `equal` of `compared` others equal."""

    class_: str
    title: str
    patch: str
    cured: int
    equal: int
    compared: int

    @property
    def verified(self) -> bool:
        return self.equal == self.compared


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One place in the source, and the smallest input found that breaks it."""

    what: Literal["value", "gradient", "accuracy"]
    kind: str  # "nan", "inf", or "lost" for accuracy
    dtype: str
    op: str | None
    file: str | None
    line: int | None
    column: int | None
    end_column: int | None
    expression: str | None
    source: str | None
    function: str | None
    node: str | None  # the derivative at work, where a gradient went wrong
    gradient_of: tuple[str, ...]
    inputs: tuple[Argument, ...]
    result: str
    cause: str | None = None
    cause_name: str | None = None
    level: str | None = None
    why: str | None = None
    safe: str | None = None
    repair: Repair | None = None
    also: tuple[str, ...] = ()  # other expressions whose failures the same patch cures
    reproducer: str = ""


@dataclass(frozen=True, kw_only=True)
class FuzzReport:
    """All findings for one function. Truthy when something was found."""

    name: str
    findings: tuple[Finding, ...] = ()
    searched: tuple[str, ...] = ()  # the arguments that were tried, in the notation of --input
    remarks: tuple[str, ...] = ()
    calls: int = 0
    seconds: float = 0.0
    seed: int = 0
    dtypes: tuple[str, ...] = ()
    complete: bool = True  # False: the time was up before all that was planned was tried
    refused: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.findings)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **_plain(self)}


for _public in (Finding, FuzzReport):
    _public.__module__ = "whynan"
del _public


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name.rstrip("_"): _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value
