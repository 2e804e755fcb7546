"""Executing one experiment in the user's loop: how far, how long, and everything put back afterwards."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass

from whynan.diagnose.counterfactuals.base import Experiment, snapshot_for
from whynan.diagnose.counterfactuals.judge import Verdict, judge
from whynan.diagnose.inquest import Inquest
from whynan.watch.attempts import Attempt, Outcome
from whynan.watch.snapshot import Snapshot

HORIZON = 20  # iterations beyond the failure that tell causes apart


@dataclass
class Pace:
    """Seconds per executed iteration, as measured.

    An experiment goes `farthest` iterations beyond the failure at most, and takes 1 / `parts` of the time that is left.
    """

    farthest: int = HORIZON
    parts: int = 4
    seconds: float = 0.0
    iterations: int = 0

    @property
    def each(self) -> float:
        return self.seconds / self.iterations if self.iterations else 0.05

    def horizon(self, left: float) -> int:
        return max(2, min(self.farthest, int(left / self.parts / max(self.each, 1e-4))))


@dataclass(frozen=True)
class Result:
    """An experiment that was executed."""

    verdict: Verdict
    attempt: Attempt
    outcome: Outcome


def execute(
    inquest: Inquest, experiment: Experiment, pace: Pace, left: float, snapshot: Snapshot | None = None
) -> Generator[Attempt, Outcome, Result | None]:
    """Execute within `left` seconds, and undo. None where it cannot be set up, or not in time.

    `snapshot`: where to begin, if not where the experiment says.
    """
    snapshot = snapshot or snapshot_for(inquest, experiment.start)
    if snapshot is None or (inquest.index - snapshot.index + 1) * pace.each > left:
        return None
    until = inquest.index + pace.horizon(left)
    begun = time.monotonic()
    try:
        attempt = experiment.apply(inquest, snapshot, until)
    except Exception as error:
        inquest.errors.append(f"{experiment.name}: {type(error).__name__}: {error}")
        undo(inquest)
        return None
    try:
        outcome = yield attempt
    finally:
        undo(inquest)
    pace.seconds += time.monotonic() - begun
    pace.iterations += max(1, outcome.executed)
    return Result(judge(inquest, experiment.name, experiment.title, attempt, outcome), attempt, outcome)


def undo(inquest: Inquest) -> None:
    """Whatever the attempt set up is taken down again."""
    try:
        inquest.cleanup.close()
    except Exception as error:
        inquest.errors.append(f"undoing: {type(error).__name__}: {error}")
    inquest.cleanup = contextlib.ExitStack()
