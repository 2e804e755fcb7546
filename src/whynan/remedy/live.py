"""Remedies tried in the user's own loop, before any patched copy of the program is run.

Every trial starts from a snapshot before the failure and goes on for `HORIZON` iterations beyond it, or to the end of
the loop, with the items that follow. Two forms: the patch itself, where its functions can be exchanged while the
program runs (`swap`), and an experiment of `diagnose.counterfactuals` that stands for the remedy. What the diagnosis
has tried already is not tried again.

A trial is worth two things. A patch that failed where it had changed nothing before the failure fails in the same way
when the program is run from its start, so that this run can be saved. And where the program cannot be run again, a
patch that held over the horizon is all the proof there can be.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from statistics import median

from whynan.case.facts import Report
from whynan.diagnose.counterfactuals.base import EXPERIMENTS, Experiment, load, snapshot_for, whole_snapshots
from whynan.diagnose.counterfactuals.execute import Pace, Result, execute
from whynan.diagnose.counterfactuals.judge import Verdict
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.ranking import Diagnosis
from whynan.remedy import registry
from whynan.remedy.candidate import Candidate
from whynan.remedy.lived import HORIZON, Live, LiveTrials
from whynan.remedy.preferences import ELSEWHERE, place
from whynan.remedy.registry import PATCHED
from whynan.remedy.swap import Exchange, exchange
from whynan.replay.eager import eager
from whynan.watch.attempts import Attempt, Outcome
from whynan.watch.snapshot import Snapshot

PATCHES = 8  # patches that are tried in the loop
PARTS = 3  # trials that the budget is for, where iterations are slow
WINDOW = 10  # losses whose median stands for a level


def live_trials(
    inquest: Inquest,
    diagnosis: Diagnosis,
    report: Report,
    candidates: Iterable[Candidate],
    *,
    horizon: int = HORIZON,
    budget: float = 10.0,
) -> Generator[Attempt, Outcome, LiveTrials]:
    """Try the candidates' live forms for at most `budget` seconds; yields attempts for the user's loop.

    Nothing is tried where iterations cannot be executed again. A mistake in here costs the rest of the trials, and is
    noted in `inquest.errors`.
    """
    found = LiveTrials()
    if not inquest.repeatable or budget <= 0 or inquest.reproduced not in ("bitwise", "eager"):
        return found
    load()
    chosen = list(candidates)
    _reuse(diagnosis, found)
    each = report.run.seconds / (inquest.iteration + 1)  # as far as is known before the first trial
    trial = _Trial(inquest, Pace(horizon, PARTS, each, 1), time.monotonic() + budget)
    try:
        yield from _try_patches(trial, report, chosen, found)
        yield from _try_experiments(trial, report, chosen, found)
    except Exception as error:
        inquest.errors.append(f"live trials: {type(error).__name__}: {error}")
    _by_class(chosen, found)
    return found


@dataclass
class _Trial:
    inquest: Inquest
    pace: Pace
    deadline: float

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def run(self, experiment: Experiment, class_: str) -> Generator[Attempt, Outcome, Live | None]:
        start = self.affordable() if experiment.start == "early" else snapshot_for(self.inquest, experiment.start)
        recorded = _recorded(self.inquest, start)
        result = yield from execute(self.inquest, experiment, self.pace, self.left, start)
        return _told(class_, result, recorded) if result is not None else None

    def affordable(self) -> Snapshot | None:
        """The oldest snapshot from which the failure is reached in a part of the time that is left; else the latest."""
        found = whole_snapshots(self.inquest)
        near = [s for s in found if (self.inquest.index - s.index) * self.pace.each <= self.left / PARTS / 2]
        return next(iter(near or found[-1:]), None)


def _try_patches(
    trial: _Trial, report: Report, chosen: list[Candidate], found: LiveTrials
) -> Generator[Attempt, Outcome, None]:
    """The patches that the causes ask for, where they can be put into the running program."""
    inquest, tried = trial.inquest, 0
    frame = inquest.run.frame if inquest.run is not None else None
    assert inquest.watcher is not None
    for candidate in chosen:
        if tried >= PATCHES or trial.left <= 0:
            return
        if place(report, candidate.class_) >= ELSEWHERE:
            continue
        changed = exchange(candidate, frame, inquest.watcher.loops.sites)
        if changed is None:
            continue
        tried += 1
        outcome = yield from trial.run(_as_experiment(changed), candidate.class_)
        if outcome is not None:
            found.patches[candidate.patch] = outcome if changed.ran else replace(outcome, usable=False)


def _as_experiment(changed: Exchange) -> Experiment:
    def apply(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
        inquest.cleanup.callback(changed.remove)
        return Attempt(snapshot=snapshot, until=until, prepare=changed.install, around=lambda index: eager())

    return Experiment(PATCHED, "with the patch", "early", lambda inquest: True, apply)


def _try_experiments(
    trial: _Trial, report: Report, chosen: list[Candidate], found: LiveTrials
) -> Generator[Attempt, Outcome, None]:
    """What stands for the remedies, popular ones included: those that do exactly what a patch does come first."""
    kinds = registry.load()
    asked = [c for c in chosen if c.popular or place(report, c.class_) < ELSEWHERE]
    wanted = [(n, c.class_) for c in asked for n in c.live]
    wanted += [(n, c.class_) for c in asked for n in kinds[c.class_].live[:1]]
    first = dict(reversed(wanted))  # experiment -> the first class that wants it
    for name, class_ in ((n, first[n]) for n in dict.fromkeys(n for n, _ in wanted)):
        known = found.experiments.get(name)
        if name not in EXPERIMENTS or (known is not None and (known.lasting or not known.passed)):
            continue
        if trial.left <= 0:
            return
        if _applies(trial.inquest, EXPERIMENTS[name]):
            outcome = yield from trial.run(EXPERIMENTS[name], class_)
            if outcome is not None:
                found.experiments[name] = outcome


def _applies(inquest: Inquest, experiment: Experiment) -> bool:
    with contextlib.suppress(Exception):
        return snapshot_for(inquest, experiment.start) is not None and experiment.applies(inquest)
    return False


def _by_class(chosen: list[Candidate], found: LiveTrials) -> None:
    """For every class of candidates, the first of its live forms that was tried."""
    kinds = registry.load()
    for class_ in dict.fromkeys(c.class_ for c in chosen):
        tried = [found.experiments[n] for n in kinds[class_].live if n in found.experiments]
        if tried:
            found.classes[class_] = replace(tried[0], class_=class_)


# what is said ---------------------------------------------------------------------------------------------------------


def _reuse(diagnosis: Diagnosis, found: LiveTrials) -> None:
    """Experiments of the diagnosis, as far as they went."""
    for verdict in diagnosis.experiments:
        if verdict.usable:
            found.experiments[verdict.experiment] = Live(
                class_="",
                experiment=verdict.experiment,
                words=_words(verdict),
                passed=verdict.passed,
                finite=verdict.finite,
                failed_at=verdict.at,
                beyond=max(0, verdict.steps),
                loss_after=verdict.loss,
            )


def _recorded(inquest: Inquest, snapshot: Snapshot | None) -> list[float]:
    """The losses between a snapshot and the failure, as they were the first time; without that of the failure."""
    if snapshot is None or inquest.history is None:
        return []
    return [loss for count, _, loss in inquest.history.loss if count > snapshot.backwards][:-1]


def _told(class_: str, result: Result, recorded: list[float]) -> Live:
    verdict, outcome, start = result.verdict, result.outcome, result.attempt.snapshot
    losses = [value for kind, _, value in outcome.fingerprints if kind == "loss"]
    early, late = losses[: len(recorded)], [v for v in losses[-WINDOW:] if math.isfinite(v)]
    return Live(
        class_=class_,
        experiment=verdict.experiment,
        words=_words(verdict),
        passed=verdict.passed,
        finite=verdict.finite,
        usable=verdict.usable,
        steps=outcome.executed,
        beyond=max(0, verdict.steps),
        to_the_end=outcome.ended == "exhausted",
        failed_at=verdict.at,
        loss_before=median(recorded[-WINDOW:]) if recorded else None,
        loss_after=median(late) if late else None,
        drift=_drift(recorded, early),
        whole=start.index == 0 and start.steps == 0,
    )


def _drift(recorded: list[float], again: list[float]) -> float | None:
    """Relative to the loss and a tenth; None where no iteration before the failure was executed, or not all."""
    if not recorded or len(again) < len(recorded):
        return None
    return max(abs(a - b) / (abs(b) + 0.1) if a != b else 0.0 for a, b in zip(again, recorded))


def _words(verdict: Verdict) -> str:
    """ "NaN again at step 44", or what the judge says."""
    if verdict.at is None or verdict.finite:
        return verdict.words
    value = "NaN" if "nan" in verdict.words.split() else "Inf"
    return f"{value} again at step {verdict.at}"
