"""From measurements to a ranked answer: assess all causes, plan the experiments that can decide, run them, weigh again.

Local evidence gives each cause a score. Experiments are only made where they can change the order of the leading
causes or prove the first one; the cheap ones first, within the budget. A result moves a cause by what it predicted:
a prediction that came true speaks for it, one that failed speaks strongly against it. `proved` is said only if a
decisive experiment of that cause passed, the control failed again, and no rival of another class predicted the
same."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace

from whynan.case.facts import Cause, Evidence, Level
from whynan.diagnose.assessment import CONCLUSIVE, SUPPORTED, Assessment
from whynan.diagnose.catalogue import CauseEntry, all_causes
from whynan.diagnose.counterfactuals.base import EXPERIMENTS, Experiment, load, snapshot_for
from whynan.diagnose.counterfactuals.judge import Verdict, judge
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.notes import doubts, upstream_of
from whynan.watch.attempts import Attempt, Outcome

HORIZON = 20  # iterations beyond the failure
RIVALS = 0.35  # causes this far below the first are still worth an experiment
SHOWN = 5
COMPANIONS = frozenset({"bad-input", "indexing-or-padding", "bad-initialization", "arithmetic-overflow"})
"""Classes that may describe another side of the same fault (the data, the mechanism); they do not contradict a "
"proof."""
# log-odds of (predicted to pass, passed): most experiments fail, so a failure that was predicted says little, and a
# cure that was promised and did not come says most
WEIGHTS = {(True, True): 1.0, (False, False): 0.25, (True, False): -2.2, (False, True): -0.8}


@dataclass
class Suspect:
    """One cause with its assessment and what the experiments said about it."""

    entry: CauseEntry
    assessment: Assessment
    odds: float = 0.0
    results: list[Verdict] = field(default_factory=list)

    @property
    def score(self) -> float:
        start = min(max(self.assessment.score, 0.01), 0.99)
        return 1 / (1 + math.exp(-(math.log(start / (1 - start)) + self.odds)))

    def hear(self, verdict: Verdict) -> None:
        expected = self.assessment.expects.get(verdict.experiment)
        if expected and verdict.experiment == "drop-batch" and verdict.later > 0:
            return  # the batch after it may be just as bad: windows overlap, a broken sensor stays broken
        if expected is not None and verdict.usable:
            self.odds += WEIGHTS[expected, verdict.passed]
            self.results.append(verdict)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Causes best first, what the experiments gave, and what remains open. `upstream` says where the numbers "
    "came from."""

    causes: tuple[Cause, ...] = ()
    notes: tuple[str, ...] = ()
    experiments: tuple[Verdict, ...] = ()
    upstream: tuple[str, ...] = ()


def diagnose(inquest: Inquest) -> Generator[Attempt, Outcome, Diagnosis]:
    """Assess, experiment within `inquest.budget` seconds, and answer. Yields attempts for the user's loop."""
    suspects = assess_all(inquest)
    results: dict[str, Verdict] = {}
    if inquest.repeatable and inquest.budget > 0 and suspects:
        try:
            load()
            yield from _experiments(inquest, suspects, results)
        except Exception as error:  # what was measured so far is still an answer
            inquest.errors.append(f"experiments: {type(error).__name__}: {error}")
    return _answer(inquest, suspects, results)


def assess_only(inquest: Inquest) -> Diagnosis:
    """The answer from local evidence alone: where nothing can be executed again."""
    return _answer(inquest, assess_all(inquest), {})


def assess_all(inquest: Inquest) -> list[Suspect]:
    found = []
    for entry in all_causes().values():
        try:
            assessment = entry.assess(inquest)
        except Exception as error:  # one cause that stumbles must not cost the report
            inquest.errors.append(f"{entry.name}: {type(error).__name__}: {error}")
            continue
        if assessment.score > 0:
            found.append(Suspect(entry, _where_it_was_made(inquest, assessment)))
    return sorted(found, key=lambda s: -s.score)


def _where_it_was_made(inquest: Inquest, assessment: Assessment) -> Assessment:
    """A value made while the batch was fetched, or before training, cannot be guarded at its op: mend the "
    "value itself."""
    phase = inquest.birth.phase if inquest.birth is not None else None
    if "op-guard" not in assessment.decisive or phase not in ("data", "init"):
        return assessment
    names = ("impute", "drop-batch") if phase == "data" else ("mend-state",)
    return replace(assessment, decisive=names, expects={**assessment.expects, **dict.fromkeys(names, True)})


# experiments ---------------------------------------------------------------------------------------------------------


def _experiments(
    inquest: Inquest, suspects: list[Suspect], results: dict[str, Verdict]
) -> Generator[Attempt, Outcome, None]:
    deadline = time.monotonic() + inquest.budget
    pace = _Pace()
    while time.monotonic() < deadline:
        suspects.sort(key=lambda s: -s.score)
        chosen = _next(inquest, suspects, results)
        if chosen is None:
            break
        left = deadline - time.monotonic()
        verdict = yield from _run(inquest, chosen, pace, left)
        if verdict is None:
            results[chosen.name] = Verdict(
                chosen.name, chosen.title, False, False, "could not be tried", 0, usable=False
            )
            continue
        results[chosen.name] = verdict
        for suspect in suspects:
            suspect.hear(verdict)
    suspects.sort(key=lambda s: -s.score)
    if suspects and _flipped(suspects[0], results) and not is_transient(suspects[0]):
        yield from _control(inquest, suspects[0], results, pace, deadline - time.monotonic())


def _next(inquest: Inquest, suspects: list[Suspect], results: dict[str, Verdict]) -> Experiment | None:
    """The experiment that tells most about the leading causes; None when enough is known."""
    first = suspects[0]
    rivals = [s for s in suspects[:6] if s.score > first.score - RIVALS and s.score > 0.25]
    if first_of_all(suspects) and "identical" not in results:
        control = replace(EXPERIMENTS["identical"], start="recent")
        if _possible(inquest, control):
            return control
    open_names = [n for s in rivals for n in (*s.assessment.decisive, *s.assessment.expects) if n not in results]
    candidates = [
        EXPERIMENTS[n] for n in dict.fromkeys(open_names) if n in EXPERIMENTS and _possible(inquest, EXPERIMENTS[n])
    ]
    classes = {s.entry.class_ for s in rivals}
    if len(classes) <= 1 or first.score >= CONCLUSIVE and first.score - _second(suspects) > 0.12:
        if _flipped(first, results) or len(results) >= 3:
            return None
        decisive = [e for e in candidates if e.name in first.assessment.decisive]
        return decisive[0] if decisive else None
    if len(results) >= 7:
        return None
    worth = {e.name: _worth(e.name, rivals) for e in candidates}
    best = max(candidates, key=lambda e: (worth[e.name], e.start == "recent"), default=None)
    return best if best is not None and worth[best.name] > 0.05 else None


def _second(suspects: list[Suspect]) -> float:
    """Score of the best suspect of another class than the first."""
    return next((s.score for s in suspects[1:] if s.entry.class_ != suspects[0].entry.class_), 0.0)


def _worth(name: str, rivals: list[Suspect]) -> float:
    """How much the rivals disagree about the outcome, weighted by their scores; a decisive one for the first counts."""
    yes = sum(s.score for s in rivals if s.assessment.expects.get(name) is True)
    no = sum(s.score for s in rivals if s.assessment.expects.get(name) is False)
    silent = sum(s.score for s in rivals if name not in s.assessment.expects)
    total = yes + no + silent
    spread = (yes * no + 0.3 * silent * (yes + no)) / (total * total) if total else 0.0
    return spread + (0.15 if name in rivals[0].assessment.decisive else 0.0)


def _possible(inquest: Inquest, experiment: Experiment) -> bool:
    try:
        return snapshot_for(inquest, experiment.start) is not None and experiment.applies(inquest)
    except Exception as error:
        inquest.errors.append(f"{experiment.name}: {type(error).__name__}: {error}")
        return False


@dataclass
class _Pace:
    """Seconds per executed iteration, as measured."""

    seconds: float = 0.0
    iterations: int = 0

    @property
    def each(self) -> float:
        return self.seconds / self.iterations if self.iterations else 0.05

    def horizon(self, left: float) -> int:
        return max(2, min(HORIZON, int(left / 4 / max(self.each, 1e-4))))


def _run(
    inquest: Inquest, experiment: Experiment, pace: _Pace, left: float
) -> Generator[Attempt, Outcome, Verdict | None]:
    snapshot = snapshot_for(inquest, experiment.start)
    if snapshot is None or (inquest.index - snapshot.index + 1) * pace.each > left:
        return None
    until = inquest.index + pace.horizon(left)
    begun = time.monotonic()
    try:
        attempt = experiment.apply(inquest, snapshot, until)
    except Exception as error:
        inquest.errors.append(f"{experiment.name}: {type(error).__name__}: {error}")
        _undo(inquest)
        return None
    try:
        outcome = yield attempt
    finally:
        _undo(inquest)
    pace.seconds += time.monotonic() - begun
    pace.iterations += max(1, outcome.executed)
    return judge(inquest, experiment.name, experiment.title, attempt, outcome)


def _undo(inquest: Inquest) -> None:
    try:
        inquest.cleanup.close()
    except Exception as error:
        inquest.errors.append(f"undoing: {type(error).__name__}: {error}")
    inquest.cleanup = contextlib.ExitStack()


def _flipped(suspect: Suspect, results: dict[str, Verdict]) -> bool:
    return any(n in results and results[n].passed and results[n].usable for n in suspect.assessment.decisive)


def first_of_all(suspects: list[Suspect]) -> bool:
    """Is a fault that does not come back among those that matter? Then the control decides, before anything else."""
    return any(s.score > 0.4 and is_transient(s) for s in suspects)


def is_transient(suspect: Suspect) -> bool:
    return suspect.entry.class_ == "nondeterministic-fault"


def _control(
    inquest: Inquest, first: Suspect, results: dict[str, Verdict], pace: _Pace, left: float
) -> Generator[Attempt, Outcome, None]:
    """The same iterations with nothing changed. From the snapshot of the failing step the first replay was "
    "that already."""
    if "identical" in results:
        return
    starts = {EXPERIMENTS[n].start for n in first.assessment.decisive if n in results and results[n].passed}
    if starts <= {"recent"} and inquest.reproduced in ("bitwise", "eager"):
        results["identical"] = Verdict(
            "identical", EXPERIMENTS["identical"].title, False, False, "failed again, in the same op", 0
        )
        return
    needed = next((s for s in ("first", "early", "recent") if s in starts), "early")
    control = replace(EXPERIMENTS["identical"], start=needed)  # type: ignore[arg-type]
    verdict = yield from _run(inquest, control, pace, max(left, 5.0))
    if verdict is not None:
        results["identical"] = verdict


# the answer ----------------------------------------------------------------------------------------------------------


def _answer(inquest: Inquest, suspects: list[Suspect], results: dict[str, Verdict]) -> Diagnosis:
    suspects.sort(key=lambda s: -s.score)
    best: dict[str, Suspect] = {}
    for suspect in suspects:
        best.setdefault(suspect.entry.class_, suspect)
    ranked = list(best.values())
    causes = tuple(_cause(i, s, ranked, results) for i, s in enumerate(ranked[:SHOWN]) if s.score > 0.1 or i == 0)
    return Diagnosis(
        causes=causes,
        notes=tuple(doubts(inquest, causes, [s.assessment for s in ranked], results)),
        experiments=tuple(results.values()),
        upstream=tuple(upstream_of(inquest)),
    )


def _cause(place: int, suspect: Suspect, ranked: list[Suspect], results: dict[str, Verdict]) -> Cause:
    evidence = list(suspect.assessment.evidence)
    told = [
        results[n]
        for n in results
        if n in suspect.assessment.expects or n in suspect.assessment.decisive or n == "identical"
    ]
    evidence += [_as_evidence(suspect, v) for v in told if v.usable]
    return Cause(
        class_=suspect.entry.class_,
        level=_level(place, suspect, ranked, results),
        score=round(suspect.score, 3),
        summary=suspect.assessment.summary,
        evidence=tuple(evidence),
        name=suspect.entry.name,
    )


def _as_evidence(suspect: Suspect, verdict: Verdict) -> Evidence:
    expected = suspect.assessment.expects.get(verdict.experiment)
    if verdict.experiment == "identical":
        means = "the failure is reproducible" if not verdict.passed else "the failure does not come back"
    elif expected is None:
        means = "says nothing about this cause"
    else:
        means = "as this cause predicts" if expected is verdict.passed else "speaks against this cause"
    return Evidence(what=f"the same iterations {verdict.title}", measured=verdict.words, means=means)


def _level(place: int, suspect: Suspect, ranked: list[Suspect], results: dict[str, Verdict]) -> Level:
    if place == 0 and _proved(suspect, ranked, results):
        return "proved"
    broken = any(suspect.assessment.expects.get(v.experiment) and not v.passed for v in suspect.results)
    return "supported" if suspect.score >= SUPPORTED and suspect.assessment.evidence and not broken else "guess"


def _proved(suspect: Suspect, ranked: list[Suspect], results: dict[str, Verdict]) -> bool:
    """A decisive experiment passed, the control failed, the local evidence is strong, and nobody else predicted it."""
    control = results.get("identical")
    if is_transient(suspect):
        return control is not None and control.passed and suspect.assessment.score > 0.9
    if (
        control is None
        or control.passed
        or not control.usable
        or suspect.assessment.score < SUPPORTED
        or suspect.score < 0.8
    ):
        return False
    passed = [n for n in suspect.assessment.decisive if n in results and results[n].passed and results[n].usable]
    broken = [v for v in suspect.results if suspect.assessment.expects.get(v.experiment) and not v.passed]
    if not passed or broken:
        return False
    for rival in ranked:
        if rival.entry.class_ in COMPANIONS and suspect.entry.class_ not in COMPANIONS:
            continue
        if rival is suspect or rival.score < 0.5 or rival.score < suspect.score - 0.3:
            continue
        if all(rival.assessment.expects.get(n) is True for n in passed):
            return False
    return True
