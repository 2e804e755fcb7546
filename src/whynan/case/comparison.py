"""Two runs side by side: where their histories part first, and what else differs. Reads reports only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .facts import Report

TOLERANCE = 1e-5  # relative; float32 reductions in another order stay within this for a while


@dataclass(frozen=True, kw_only=True)
class Parting:
    """One series of both runs. `bits` is the first entry that is not the same number, `far` the first beyond TOLERANCE.

    Each is (step, value in a, value in b); None where there is none. `shared` counts the entries that were compared.
    """

    name: str
    shared: int
    bits: tuple[int, float, float] | None = None
    far: tuple[int, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A fact that is not the same in both."""

    what: str
    a: str
    b: str


History = dict[str, list[Any]]


def partings(a: History, b: History) -> list[Parting]:
    """Every numeric series that both histories hold, in the order of the first parting."""
    found = []
    for name in sorted(a.keys() & b.keys()):
        if name == "step" or name.endswith("_step"):
            continue  # the axis of a series
        pairs = list(_pairs(a, b, name))
        if pairs:
            bits = next((pair for pair in pairs if not _same(pair[1], pair[2])), None)
            far = next((pair for pair in pairs if not _close(pair[1], pair[2])), None)
            found.append(Parting(name=name, shared=len(pairs), bits=bits, far=far))
    return sorted(found, key=lambda p: (p.bits is None, p.bits[0] if p.bits else 0, p.name != "loss"))


def differences(a: Report, b: Report) -> list[Difference]:
    """Script, arguments, versions, settings, verdict, birth, symptom, causes and cures, as far as they differ."""
    found = [Difference(what=what, a=str(x), b=str(y)) for (what, x), (_, y) in zip(_facts(a), _facts(b)) if x != y]
    names = sorted(a.run.environment.keys() | b.run.environment.keys())
    mine, other = a.run.environment, b.run.environment
    pairs = [
        (name, mine.get(name, "not set"), other.get(name, "not set"))
        for name in names
        if name not in ("python", "torch")
    ]
    return found + [Difference(what=name, a=x, b=y) for name, x, y in pairs if x != y]


def _facts(report: Report) -> Iterator[tuple[str, Any]]:
    run, birth, symptom = report.run, report.birth, report.symptom
    yield "script", run.script
    yield "arguments", " ".join(run.argv) or "none"
    yield "python", run.python
    yield "torch", run.torch
    yield "device", run.device
    yield "world size", run.world_size
    yield "verdict", report.verdict
    yield "steps", run.steps
    yield "birth", f"{birth.kind} at step {birth.step} in {birth.op or birth.tensor}" if birth else "none"
    yield "line of the birth", f"{birth.file}:{birth.line}" if birth and birth.file else "none"
    yield "symptom", f"{symptom.what} at step {symptom.step}" if symptom else "none"
    yield "cause", report.causes[0].class_ if report.causes else "none"
    yield "verified cures", ", ".join(r.class_ for r in report.remedies if r.verified) or "none"


def _pairs(a: History, b: History, name: str) -> Iterator[tuple[int, float, float]]:
    """(step, value in a, value in b) at the steps that both recorded, in order.

    A step may have several entries (gradient accumulation); the n-th of one run goes with the n-th of the other.
    """
    mine, other = _by_step(a, name), _by_step(b, name)
    for key in sorted(mine.keys() & other.keys()):
        x, y = mine[key], other[key]
        if isinstance(x, int | float) and isinstance(y, int | float):
            yield key[0], x, y


def _by_step(history: History, name: str) -> dict[tuple[int, int], Any]:
    values = history[name]
    steps = history.get(f"{name}_step") or history.get("step") or []
    if len(steps) != len(values):
        steps = range(len(values))  # type: ignore[assignment]
    found: dict[tuple[int, int], Any] = {}
    count: dict[int, int] = {}
    for step, value in zip(steps, values):
        if isinstance(step, int):
            count[step] = count.get(step, -1) + 1
            found[(step, count[step])] = value
    return found


def _same(x: float, y: float) -> bool:
    return x == y or (math.isnan(x) and math.isnan(y))


def _close(x: float, y: float) -> bool:
    if _same(x, y):
        return True
    return math.isfinite(x) and math.isfinite(y) and abs(x - y) <= TOLERANCE * max(abs(x), abs(y))
