"""The search, with runs that are made up: what live trials save, what counts as proof, what chance may not prove."""

from __future__ import annotations

from dataclasses import replace

import pytest

from whynan.case.facts import Birth, Cause, Report, Run, Symptom
from whynan.remedy import plan, trials
from whynan.remedy.lived import HORIZON, Live, LiveTrials, replayed
from whynan.remedy.search import Search
from whynan.remedy.trials import Outcome, Script

TEXT = "import torch\n\n\ndef f(p):\n    return torch.log(p).mean()\n"
GOOD = Live(class_="clamp", experiment="patched", words="all finite", passed=True, finite=True, steps=90,
            beyond=HORIZON, drift=0.0, loss_before=1.0, loss_after=0.9)  # fmt: skip
BAD = replace(GOOD, passed=False, finite=False, failed_at=44, words="NaN again at step 44", beyond=3)


def losses(n: int) -> tuple[tuple[int, str, float], ...]:
    return tuple((i, "train.py:f#0", 1.0) for i in range(n))


FAILED = Outcome(steps=100, moved=True, bad="loss", bad_step=41, losses=losses(41))
CURED = Outcome(finite=True, steps=100, moved=True, losses=losses(100))


def report(cause: str = "log-of-zero", seconds: float = 5.0) -> Report:
    birth = Birth(step=41, iteration=41, phase="forward", kind="inf", op="aten::log", file="train.py", line=5)
    return Report(
        verdict="nonfinite",
        run=Run(script="train.py", seconds=seconds),
        symptom=Symptom(step=41, iteration=41, what="loss"),
        birth=birth,
        causes=(Cause(class_=cause, level="supported", score=1.0, summary=""),),
    )


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """search(report, live, outcomes): `outcomes(patch)` stands for a run."""
    (tmp_path / "train.py").write_text(TEXT)
    script = Script(tmp_path / "train.py", (), tmp_path)

    def search(about, live, outcomes, ran=None):
        def run(script, patch, budget, **_):
            if ran is not None:
                ran.append(patch)
            return outcomes(patch)

        monkeypatch.setattr(trials, "run", run)
        found = plan.candidates(about, script)
        table = LiveTrials(patches={c.patch: t for c in found if (t := live(c)) is not None})
        return Search(about, script, found, 60.0, table).run()

    return search


def clamps(candidate) -> Live | None:
    return GOOD if candidate.class_ == "clamp" else None


def test_a_run_that_is_too_long_is_proved_by_replay(searched):
    remedies, _ = searched(report(), clamps, lambda patch: Outcome(timed_out=True))
    assert remedies[0].verified and remedies[0].class_ == "clamp"
    assert (remedies[0].trial.how, remedies[0].trial.steps, remedies[0].trial.loss_after) == ("replay", 90, 0.9)


def test_a_program_that_took_long_is_not_even_begun(searched):
    ran = []
    remedies, _ = searched(report(seconds=900.0), clamps, lambda patch: FAILED, ran)
    assert remedies[0].verified and remedies[0].trial.how == "replay" and ran == []


def test_a_copy_that_ends_for_a_reason_of_its_own_proves_nothing(searched):
    remedies, _ = searched(report(), clamps, lambda patch: Outcome(crash="ConnectionError: no network", steps=0))
    assert remedies[0].verified and remedies[0].trial.how == "replay"


@pytest.mark.parametrize(
    "seen",
    [
        replace(GOOD, beyond=HORIZON - 1),
        replace(GOOD, drift=0.5),
        replace(GOOD, drift=None),
        replace(GOOD, loss_after=5.0),
        replace(GOOD, passed=False),
        replace(GOOD, usable=False),
        BAD,
    ],
)
def test_what_is_no_proof(seen, searched):
    assert not replayed(seen)
    remedies, _ = searched(
        report(), lambda c: seen if c.class_ == "clamp" else None, lambda patch: Outcome(timed_out=True)
    )
    assert not any(r.verified for r in remedies)


def test_a_trial_from_the_first_step_needs_no_sameness():
    assert replayed(replace(GOOD, drift=3.0, whole=True)) and replayed(replace(GOOD, beyond=4, to_the_end=True))


def test_a_hopeless_patch_is_rejected_without_a_run(searched):
    ran = []
    remedies, rejected = searched(
        report(), lambda c: BAD if c.class_ == "clamp" else None, lambda patch: CURED if patch else FAILED, ran
    )
    assert "clamp" not in {r.class_ for r in remedies if r.verified}
    assert not any(patch and "clamp(" in patch for patch in ran)
    assert next(r.why for r in rejected if r.class_ == "clamp").endswith("NaN again at step 44")


def test_what_failed_in_the_loop_is_run_last(searched):
    ran = []
    late = replace(BAD, drift=0.3)  # it changed what came before: a run from the start may differ
    searched(report(), lambda c: late if c.class_ == "clamp" else None, lambda patch: FAILED, ran)
    kinds = ["clamp(" in patch for patch in ran[1:]]
    assert True in kinds and kinds.index(True) > kinds.index(False)


def test_where_the_failure_moves_once_is_not_enough(searched):
    """The bare run fails in another step: a cure has to hold twice."""
    turns = []

    def lucky(patch):
        if not patch:
            return replace(FAILED, bad_step=60)
        turns.append(patch)
        return CURED if turns.count(patch) % 2 else FAILED

    remedies, _ = searched(report(), lambda c: None, lucky)
    assert turns and not any(r.verified for r in remedies)


def test_chance_proves_nothing(searched):
    """A fault that does not come back: every change would look like a cure."""
    remedies, rejected = searched(
        report("nondeterministic-fault"), lambda c: None, lambda patch: CURED if patch else FAILED
    )
    assert remedies == () and rejected == ()


def test_a_patch_that_does_not_run_says_nothing_about_the_remedy(searched):
    def outcomes(patch):
        if patch is None:
            return FAILED
        if "clamp" in patch:
            return Outcome(crash="AttributeError: 'int' object has no attribute 'clamp'", moved=True)
        return replace(FAILED, bad="loss")

    _, rejected = searched(report(), lambda c: None, outcomes)
    assert rejected and not [r for r in rejected if "AttributeError" in r.why]


def test_a_guard_that_changes_sound_values_comes_after_one_that_does_not(searched):
    """A floor of 1e-8 moves the losses of the steps that were fine; one of 1e-30 leaves them."""

    def outcomes(patch):
        if patch is None:
            return FAILED
        sound = 1.0 if "1e-30" in patch else 1.5
        return replace(CURED, losses=tuple((s, p, sound) for s, p, _ in CURED.losses)) if "clamp" in patch else FAILED

    remedies, _ = searched(report(), lambda c: None, outcomes)
    assert "1e-30" in remedies[0].title and any("1e-8" in r.title for r in remedies[1:])
