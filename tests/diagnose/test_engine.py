"""How results move causes, what may be called proved, and which experiment comes next."""

from __future__ import annotations

import pytest

from whynan.diagnose import Inquest
from whynan.diagnose.assessment import Assessment, saw
from whynan.diagnose.catalogue import CauseEntry
from whynan.diagnose.counterfactuals.base import EXPERIMENTS, load
from whynan.diagnose.counterfactuals.judge import Verdict
from whynan.diagnose.engine import _next, diagnose
from whynan.diagnose.ranking import Suspect, answer, proved

EVIDENCE = (saw("something", "1", "much"),)


def suspect(class_, score, decisive=(), **expects):
    entry = CauseEntry(class_, class_, ("other",), lambda inquest: Assessment(0.0), "")
    names = {name.replace("_", "-"): value for name, value in expects.items()}
    return Suspect(entry, Assessment(score, f"{class_}.", EVIDENCE, tuple(decisive), names))


def verdict(name, passed, usable=True):
    return Verdict(name, "", passed, passed, "", 20, usable=usable)


CONTROL = verdict("identical", False)


def test_predictions_that_come_true_raise_and_broken_ones_sink():
    lucky, broken = suspect("learning-rate-too-high", 0.6, clip=True), suspect("bad-initialization", 0.6, reinit=True)
    lucky.hear(verdict("clip", True))
    broken.hear(verdict("reinit", False))
    assert lucky.score > 0.75 and broken.score < 0.25


def test_a_change_that_broke_the_program_says_nothing():
    cause = suspect("learning-rate-too-high", 0.6, clip=True)
    cause.hear(verdict("clip", False, usable=False))
    assert cause.score == pytest.approx(0.6)


def test_proved_needs_a_cure_and_a_control_that_fails():
    cause = suspect("log-of-zero", 0.9, ("op-guard",), op_guard=True)
    cure = verdict("op-guard", True)
    cause.hear(cure)
    assert proved(cause, [cause], {"op-guard": cure, "identical": CONTROL})
    assert not proved(cause, [cause], {"op-guard": cure})
    assert not proved(cause, [cause], {"op-guard": cure, "identical": verdict("identical", True)})
    assert not proved(cause, [cause], {"identical": CONTROL})


def test_a_rival_that_predicted_the_same_forbids_the_word():
    first = suspect("learning-rate-too-high", 0.85, ("lr/10",))
    first.assessment.expects["lr/10"] = True  # type: ignore[index]
    rival = suspect("exploding-gradients", 0.8, ())
    rival.assessment.expects["lr/10"] = True  # type: ignore[index]
    results = {"lr/10": verdict("lr/10", True), "identical": CONTROL}
    for cause in (first, rival):
        cause.hear(results["lr/10"])
    assert not proved(first, [first, rival], results)
    companion = suspect("arithmetic-overflow", 0.8)
    companion.assessment.expects["lr/10"] = True  # type: ignore[index]
    assert proved(first, [first, companion], results)


def test_a_broken_prediction_forbids_the_word():
    cause = suspect("input-scale", 0.9, ("drop-batch",), drop_batch=True, winsorise=True)
    results = {"drop-batch": verdict("drop-batch", True), "winsorise": verdict("winsorise", False)}
    for result in results.values():
        cause.hear(result)
    assert not proved(cause, [cause], results | {"identical": CONTROL})


def test_one_cause_per_class_and_best_first():
    causes = answer(
        Inquest(), [suspect("log-of-zero", 0.5), suspect("log-of-zero", 0.9), suspect("other", 0.6)], {}
    ).causes
    assert [(c.class_, c.score) for c in causes] == [("log-of-zero", 0.9), ("other", 0.6)]
    assert causes[0].level == "supported"


def test_the_experiment_that_divides_the_rivals_comes_first(monkeypatch):
    load()
    monkeypatch.setattr("whynan.diagnose.engine._possible", lambda inquest, experiment: True)
    rate = suspect("learning-rate-too-high", 0.6, ("lr/10",), clip=True, drop_batch=False)
    rate.assessment.expects["lr/10"] = True  # type: ignore[index]
    row = suspect("input-scale", 0.55, ("winsorise",), clip=False, drop_batch=True, winsorise=True)
    chosen = _next(Inquest(), [rate, row], {})
    assert chosen in (EXPERIMENTS["drop-batch"], EXPERIMENTS["clip"])


def test_clear_evidence_asks_for_its_proof_only(monkeypatch):
    load()
    monkeypatch.setattr("whynan.diagnose.engine._possible", lambda inquest, experiment: True)
    clear = suspect("log-of-zero", 0.95, ("op-guard",), op_guard=True, clip=False)
    chosen = _next(Inquest(), [clear, suspect("other", 0.1)], {})
    assert chosen is EXPERIMENTS["op-guard"]
    assert _next(Inquest(), [clear, suspect("other", 0.1)], {"op-guard": verdict("op-guard", True)}) is None


def test_without_a_loop_nothing_is_attempted():
    generator = diagnose(Inquest())
    with pytest.raises(StopIteration) as stopped:
        next(generator)
    assert stopped.value.value.causes[0].class_ == "other"
    assert "nothing here is proved" in " ".join(stopped.value.value.notes)
