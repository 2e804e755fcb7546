"""How evidence and results become a ranked answer, and when it may be called proved.

A result moves a cause by what it predicted: a prediction that came true speaks for it, one that failed speaks strongly
against it. `proved` is said only if a decisive experiment of that cause passed, the control failed again, no prediction
of its own was broken, and no rival of another class predicted the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from whynan.case.facts import Cause, Evidence, Experiment, Level
from whynan.diagnose.assessment import SUPPORTED, Assessment
from whynan.diagnose.catalogue import CauseEntry
from whynan.diagnose.counterfactuals.judge import Verdict, usual_loss
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.notes import doubts, upstream_of

SHOWN = 5
LEAST = 0.25  # a cause with less has nothing that speaks for it
COMPANIONS = frozenset({"bad-input", "indexing-or-padding", "bad-initialization", "arithmetic-overflow"})
"""Classes that may describe another side of the same fault (the data, the mechanism); they do not contradict a
proof."""
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
    """Causes best first, what the experiments gave, and what remains open. `upstream` says where the numbers
    came from."""

    causes: tuple[Cause, ...] = ()
    notes: tuple[str, ...] = ()
    experiments: tuple[Verdict, ...] = ()
    upstream: tuple[str, ...] = ()
    usual_loss: float | None = None  # before things went wrong

    @property
    def told(self) -> tuple[Experiment, ...]:
        """The experiments as the report tells them: `loss_before` is the usual loss, `loss_after` the one they gave."""
        return tuple(
            Experiment(
                name=verdict.experiment,
                changed=verdict.title,
                cured=verdict.passed,
                what=verdict.words,
                steps=max(0, verdict.steps),
                usable=verdict.usable,
                loss_before=self.usual_loss,
                loss_after=verdict.loss,
            )
            for verdict in self.experiments
        )


def flipped(suspect: Suspect, results: dict[str, Verdict]) -> bool:
    return any(n in results and results[n].passed and results[n].usable for n in suspect.assessment.decisive)


def is_transient(suspect: Suspect) -> bool:
    return suspect.entry.class_ == "nondeterministic-fault"


def answer(inquest: Inquest, suspects: list[Suspect], results: dict[str, Verdict]) -> Diagnosis:
    suspects.sort(key=lambda s: -s.score)
    best: dict[str, Suspect] = {}
    for suspect in suspects:
        best.setdefault(suspect.entry.class_, suspect)
    ranked = list(best.values())
    usual = usual_loss(inquest)
    causes = tuple(_cause(i, s, ranked, results) for i, s in enumerate(ranked[:SHOWN]) if s.score > LEAST or i == 0)
    return Diagnosis(
        causes=causes,
        notes=tuple(doubts(inquest, causes, [s.assessment for s in ranked], results)),
        experiments=tuple(results.values()),
        upstream=tuple(upstream_of(inquest)),
        usual_loss=usual[0] if usual is not None else None,
    )


def _cause(place: int, suspect: Suspect, ranked: list[Suspect], results: dict[str, Verdict]) -> Cause:
    evidence = list(suspect.assessment.evidence)
    evidence += [_as_evidence(suspect, v) for v in results.values() if v.usable and _tells(suspect, v)]
    return Cause(
        class_=suspect.entry.class_,
        level=_level(place, suspect, ranked, results),
        score=round(suspect.score, 3),
        summary=suspect.assessment.summary,
        evidence=tuple(evidence),
        name=suspect.entry.name,
    )


def _tells(suspect: Suspect, verdict: Verdict) -> bool:
    """Whether a result says something about this cause."""
    name = verdict.experiment
    predicted = name in suspect.assessment.expects or name == "identical"
    return predicted or name in suspect.assessment.decisive and verdict.passed


def _as_evidence(suspect: Suspect, verdict: Verdict) -> Evidence:
    expected = suspect.assessment.expects.get(verdict.experiment, True)
    if verdict.experiment == "identical":
        means = "the failure is reproducible" if not verdict.passed else "the failure does not come back"
    else:
        means = "as this cause predicts" if expected is verdict.passed else "speaks against this cause"
    return Evidence(what=f"the same iterations {verdict.title}", measured=verdict.words, means=means)


def _level(place: int, suspect: Suspect, ranked: list[Suspect], results: dict[str, Verdict]) -> Level:
    if place == 0 and proved(suspect, ranked, results):
        return "proved"
    broken = any(suspect.assessment.expects.get(v.experiment) and not v.passed for v in suspect.results)
    return "supported" if suspect.score >= SUPPORTED and suspect.assessment.evidence and not broken else "guess"


def proved(suspect: Suspect, ranked: list[Suspect], results: dict[str, Verdict]) -> bool:
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
