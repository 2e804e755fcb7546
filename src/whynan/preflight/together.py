"""The answer of a check, from everything that was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from whynan.case.preflight import Column, Layer, Preflight, Problem
from whynan.preflight import initialization, settings, step
from whynan.preflight.data.problems import problems as data_problems
from whynan.preflight.data.problems import problems_of_others
from whynan.preflight.data.scan import Scan
from whynan.preflight.headroom import eps_problems, headroom_of_ops
from whynan.preflight.layers import LayerProbe
from whynan.preflight.targets import out_of_bounds
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
    others: Mapping[str, Scan] = field(default_factory=dict)  # variable -> data beside those of the training loop
    early: Problem | None = None  # in the first updates
    updates: int = 0  # iterations that were executed one after the other
    notes: tuple[str, ...] = ()
    more: Iterable[Problem] = ()


def put_together(parts: Parts) -> Preflight:
    """One answer; problems in order of severity."""
    edges = step.edges_of_step(parts.trace)
    tries, scan = parts.tries, parts.scan
    batches = list(step.failed_batches(tries.failures, tries.failed, tries.done))
    early = parts.early
    if early is not None and any((early.file, early.where) == (p.file, p.where) for p in batches):
        early = None  # the batch is enough, training was not needed
    found = [
        *([parts.failure] if parts.failure is not None else []),
        *([early] if early is not None else []), *batches,
        *data_problems(scan), *problems_of_others(scan, parts.others.values()),
        *target_problems(parts.trace, parts.probe, scan, parts.others.values()),
        *out_of_bounds(parts.failure, parts.trace, scan),
        *initialization.problems(parts.layers),
        *step.problems(edges, parts.failure), *eps_problems(parts.trace), *parts.settings.problems, *parts.more,
    ]  # fmt: skip
    found = _once(found)
    return Preflight(
        verdict="problems" if any(p.severity != "note" for p in found) else "ready",
        program=parts.program,
        problems=tuple(sorted(found, key=lambda p: _ORDER.index(p.severity))),
        batches=scan.batches,
        samples=scan.samples,
        complete=scan.complete,
        tried=tries.done,
        updates=parts.updates,
        columns=tuple(_columns(scan, parts.others)),
        loaders={name: other.samples for name, other in parts.others.items()},
        layers=parts.layers,
        edges=edges,
        headroom=parts.probe.headroom(),
        ops=headroom_of_ops(parts.trace),
        settings=parts.settings.shown,
        notes=(*(note for one in (scan, *parts.others.values()) for note in _notes(one)), *parts.notes),
    )


def _columns(scan: Scan, others: Mapping[str, Scan]) -> Iterator[Column]:
    for one in (scan, *others.values()):
        for columns in one.tensors.values():
            for fact in columns.facts():
                yield replace(fact, tensor=one.shown(fact.tensor))


_SAME = {"eps-zero": ("WN611", "WN614"), "eps-vanishes": ("WN614",), "beta-out-of-range": ("WN612",),
         "negative-weight-decay": ("WN613",), "eps-rounds-away": ("WN704",)}  # fmt: skip
"""What was measured -> the rules of `whynan lint` that say no more than that, but know the line."""


def _once(found: list[Problem]) -> list[Problem]:
    """Each once. What the source says is left out where the objects themselves said it, and lends them its line."""
    found = list(dict.fromkeys(found))
    source = {p.kind.partition(" ")[0]: p for p in reversed(found) if p.part == "source"}
    told = [code for problem in found for code in _SAME.get(problem.kind, ())]
    return [_with_line(p, source) for p in found if p.part != "source" or p.kind.partition(" ")[0] not in told]


def _with_line(problem: Problem, source: dict[str, Problem]) -> Problem:
    same = next((source[code] for code in _SAME.get(problem.kind, ()) if code in source), None)
    if same is None or problem.file is not None:
        return problem
    return replace(problem, where=f"{problem.where} at {same.where}", file=same.file, line=same.line)


def _notes(scan: Scan) -> Iterable[str]:
    if scan.error is not None:
        who = scan.source or "the loader"
        yield f"{who} raised {type(scan.error).__name__}: {scan.error} after {scan.batches} batches"
    elif scan.source and not scan.complete:
        yield f"{scan.source} was looked through in part: {scan.samples:,} samples"
    elif not scan.complete:
        yield f"the data were looked through in part: {scan.samples:,} samples, until the time was up"
