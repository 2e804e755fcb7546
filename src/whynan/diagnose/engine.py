"""From measurements to a ranked answer: assess all causes, plan the experiments that can decide, run them, weigh again.

Local evidence gives each cause a score. Experiments are only made where they can change the order of the leading
causes or prove the first one; the cheap ones first, within the budget. A result moves a cause by what it predicted:
a prediction that came true speaks for it, one that failed speaks strongly against it. `proved` is said only if a
decisive experiment of that cause passed, the control failed again, and no rival of another class predicted the
same."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace

from whynan.diagnose.assessment import CONCLUSIVE, Assessment
from whynan.diagnose.catalogue import all_causes
from whynan.diagnose.counterfactuals.base import EXPERIMENTS, Experiment, load, snapshot_for
from whynan.diagnose.counterfactuals.execute import Pace, execute
from whynan.diagnose.counterfactuals.judge import Verdict
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.ranking import Diagnosis, Suspect, answer, flipped, is_transient
from whynan.watch.attempts import Attempt, Outcome

RIVALS = 0.35  # causes this far below the first are still worth an experiment


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
    return answer(inquest, suspects, results)


def assess_only(inquest: Inquest) -> Diagnosis:
    """The answer from local evidence alone: where nothing can be executed again."""
    return answer(inquest, assess_all(inquest), {})


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
    """A value made while the batch was fetched, or before training, cannot be guarded at its op: mend the
    value itself."""
    phase = inquest.birth.phase if inquest.birth is not None else None
    if "op-guard" not in assessment.decisive or phase not in ("data", "init"):
        return assessment
    # a value that the body makes itself stays when the loop's item is exchanged
    in_body = inquest.source is not None and inquest.source.kind == "local"
    names = ("mend-state",) if phase == "init" else ("impute",) if in_body else ("impute", "drop-batch")
    return replace(assessment, decisive=names, expects={**assessment.expects, **dict.fromkeys(names, True)})


# experiments ---------------------------------------------------------------------------------------------------------


def _experiments(
    inquest: Inquest, suspects: list[Suspect], results: dict[str, Verdict]
) -> Generator[Attempt, Outcome, None]:
    deadline = time.monotonic() + inquest.budget
    pace = Pace()
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
    if suspects and flipped(suspects[0], results) and not is_transient(suspects[0]):
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
        if flipped(first, results) or len(results) >= 3:
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


def _run(
    inquest: Inquest, experiment: Experiment, pace: Pace, left: float
) -> Generator[Attempt, Outcome, Verdict | None]:
    result = yield from execute(inquest, experiment, pace, left)
    return result.verdict if result is not None else None


def first_of_all(suspects: list[Suspect]) -> bool:
    """Is a fault that does not come back among those that matter? Then the control decides, before anything else."""
    return any(s.score > 0.4 and is_transient(s) for s in suspects)


def _control(
    inquest: Inquest, first: Suspect, results: dict[str, Verdict], pace: Pace, left: float
) -> Generator[Attempt, Outcome, None]:
    """The same iterations with nothing changed. From the snapshot of the failing step the first replay was
    that already."""
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
