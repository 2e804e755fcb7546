"""The answer of a check, from everything that was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from whynan.case.preflight import Layer, Preflight, Problem
from whynan.preflight import initialization, settings, step
from whynan.preflight.data.problems import problems as data_problems
from whynan.preflight.data.scan import Scan
from whynan.preflight.layers import LayerProbe
from whynan.preflight.targets import problems as target_problems
from whynan.preflight.tries import Failure
from whynan.replay.trace import Trace

_ORDER = ("error", "warning", "note")


class Tried(Protocol):
    """Steps with single batches: how many, how many of them failed, the first failures."""

    done: int
    failed: int
    failures: list[Failure]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the parts of a check measured."""

    program: str
    probe: LayerProbe
    trace: Trace
    scan: Scan
    failure: Problem | None  # of the first step
    settings: settings.Looked  # as they were in the first step
    layers: tuple[Layer, ...]
    tries: Tried
    more: Iterable[Problem] = ()


def put_together(parts: Parts) -> Preflight:
    """One answer; problems in order of severity."""
    edges = step.edges_of_step(parts.trace)
    tries, scan = parts.tries, parts.scan
    found = [
        *([parts.failure] if parts.failure is not None else []),
        *step.failed_batches(tries.failures, tries.failed, tries.done),
        *data_problems(scan), *target_problems(parts.trace, parts.probe, scan), *initialization.problems(parts.layers),
        *step.problems(edges), *parts.settings.problems, *parts.more,
    ]  # fmt: skip
    found = list(dict.fromkeys(found))
    return Preflight(
        verdict="problems" if any(p.severity != "note" for p in found) else "ready",
        program=parts.program,
        problems=tuple(sorted(found, key=lambda p: _ORDER.index(p.severity))),
        batches=scan.batches,
        samples=scan.samples,
        complete=scan.complete,
        tried=tries.done,
        columns=tuple(column for columns in scan.tensors.values() for column in columns.facts()),
        layers=parts.layers,
        edges=edges,
        headroom=parts.probe.headroom(),
        settings=parts.settings.shown,
        notes=tuple(_notes(scan)),
    )


def _notes(scan: Scan) -> Iterable[str]:
    if scan.error is not None:
        yield f"the loader raised {type(scan.error).__name__}: {scan.error} after {scan.batches} batches"
    elif not scan.complete:
        yield f"the data were looked through in part: {scan.samples:,} samples, until the time was up"
