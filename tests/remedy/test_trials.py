"""Trials: what counts as cured, what a trial may touch, and the runs themselves (slow)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from whynan.case.facts import Birth, Cause, Report, Run
from whynan.remedy import plan, trials
from whynan.remedy.edits import unified_diff
from whynan.remedy.probe import moved_line, probed
from whynan.remedy.trials import Outcome, Script

SCRIPT = """import torch

torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(30):
    x = torch.rand(4, 3)
    if step == 12:
        x = x * 0
    level = torch.log(x.sum(dim=1))
    loss = (model(x).squeeze(1) - level).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def losses(*values: float) -> tuple[tuple[int, str, float], ...]:
    return tuple((i, "train.py:f#0", v) for i, v in enumerate(values))


BARE = Outcome(steps=20, moved=True, bad="loss", bad_step=10, losses=losses(*[1.0] * 10))
GOOD = Outcome(finite=True, steps=20, moved=True, losses=losses(*[1.0] * 10, *[0.5] * 10))


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (GOOD, ""),
        (Outcome(bad="loss", bad_step=12, steps=12), "still non-finite: loss at step 12"),
        (Outcome(crash="NameError: x"), "the patched script fails: NameError: x"),
        (Outcome(finite=True, steps=20, moved=False), "do not move"),
        (Outcome(finite=True, steps=15, moved=True), "only 15 of 20 steps"),
        (
            Outcome(finite=True, steps=20, moved=True, buffers=("BatchNorm1d.running_mean",)),
            "buffer BatchNorm1d.running_mean",
        ),
        (
            Outcome(finite=True, steps=20, moved=True, losses=losses(*[1.0] * 10, *[1e30] * 10)),
            "the loss ends at 1e+30",
        ),
    ],
)
def test_verdict(outcome, words):
    why = trials.verdict(BARE, outcome)
    assert words in why if words else why == ""


def test_data_that_change_in_the_failing_step_are_not_held_against_a_cure():
    """The loss of that step is finite, high, and the same with the patch: it came with the data and stays."""
    high = [1.0] * 10 + [5.0]
    bare = replace(BARE, losses=losses(*high))
    cured = replace(GOOD, losses=losses(*high, *[5.2] * 9))
    assert trials.verdict(bare, cured) == ""
    assert "the loss ends at" in trials.verdict(bare, replace(cured, losses=losses(*[1.0] * 10, 2.0, *[5.2] * 9)))


def test_a_diverging_run_is_not_a_reference():
    """Before the failure the loss was 1e30; a cure that ends at 1e20 is no cure."""
    bare = Outcome(steps=40, moved=True, bad="loss", bad_step=30, losses=losses(*[2.0] * 12, *[1e30] * 18))
    assert trials.verdict(bare, Outcome(finite=True, steps=40, moved=True, losses=losses(*[2.0] * 20, *[1e20] * 20)))
    assert not trials.verdict(bare, Outcome(finite=True, steps=40, moved=True, losses=losses(*[2.0] * 20, *[1.5] * 20)))


def test_the_patch_is_made_in_the_stand_in(tmp_path):
    work = tmp_path / "project"
    (work / "data").mkdir(parents=True)
    (work / "data" / "big.bin").write_bytes(b"0" * 10)
    (work / "helper.py").write_text("A = 1\n")
    (work / "train.py").write_text("import helper\n")
    patch = unified_diff("A = 1\n", "A = 2\n", "helper.py")
    (tmp_path / "root").mkdir()
    script, cwd = trials.mirror(Script(work / "train.py", (), work), patch, tmp_path / "root")
    assert cwd == script.parent
    assert (cwd / "helper.py").read_text() == "A = 2\n" and not (cwd / "helper.py").is_symlink()
    assert (cwd / "data" / "big.bin").exists()
    assert (work / "helper.py").read_text() == "A = 1\n"


def test_a_line_is_followed_through_a_patch():
    before = "a\nb\nc\nd\n"
    assert moved_line(before, "a\nnew\nb\nc\nd\n", 3) == 4
    assert moved_line(before, "a\nb\nC\nd\n", 3) == 3


def test_probe_after_a_statement_and_around_a_return():
    assert "\n    __whynan_probe__(x)\n" in (probed("def f(y):\n    x = y / 0\n    return x\n", 2) or "")
    assert "return __whynan_probe__(y / 0)" in (probed("def f(y):\n    return y / 0\n", 2) or "")


def report(line: int, op: str, cause: str, kind: str = "inf") -> Report:
    birth = Birth(step=12, iteration=12, phase="forward", kind=kind, op=op, file="train.py", line=line)  # type: ignore[arg-type]
    cause_ = Cause(class_=cause, level="supported", score=1.0, summary="")
    return Report(verdict="nonfinite", run=Run(script="train.py"), birth=birth, causes=(cause_,))


@pytest.mark.slow
def test_propose_verifies_a_cure_and_rejects_the_popular_ones(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    remedies, rejected = plan.propose(report(10, "aten::log", "log-of-zero"), script=script, cwd=tmp_path, budget_s=60)
    assert remedies[0].verified and remedies[0].class_ == "clamp"
    assert remedies[0].trial is not None and remedies[0].trial.finite and remedies[0].trial.steps == 30
    assert {"clip-gradients", "lower-learning-rate"} <= {r.class_ for r in rejected}
    assert script.read_text() == SCRIPT


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_killed(tmp_path):
    (tmp_path / "train.py").write_text("import time\ntime.sleep(60)\n")
    assert trials.run(Script(tmp_path / "train.py", (), tmp_path), None, 0.5).timed_out


@pytest.mark.slow
def test_arguments_directory_and_local_modules(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "part.py").write_text("import torch\n\n\ndef level(x):\n    return torch.log(x.sum(dim=1))\n")
    text = SCRIPT.replace(
        "import torch\n",
        "import sys\nimport torch\nfrom pkg.part import level as f\nassert sys.argv[1:] == ['--n', '3']\n",
        1,
    )
    (tmp_path / "train.py").write_text(text.replace("torch.log(x.sum(dim=1))", "f(x)"))
    birth = Birth(
        step=12, iteration=12, phase="forward", kind="inf", op="aten::log", file=str(Path("pkg/part.py")), line=5
    )
    cause = Cause(class_="log-of-zero", level="supported", score=1.0, summary="")
    found = Report(verdict="nonfinite", run=Run(script="train.py"), birth=birth, causes=(cause,))
    remedies, _ = plan.propose(found, script=tmp_path / "train.py", argv=("--n", "3"), cwd=tmp_path, budget_s=60)
    assert remedies[0].verified and "+++ b/pkg/part.py" in (remedies[0].patch or "")


@pytest.mark.slow
def test_a_bad_value_that_reaches_no_loss_is_looked_for_at_its_line(tmp_path):
    text = SCRIPT.replace(
        "    level = torch.log(x.sum(dim=1))\n",
        "    level = x.sum(dim=1)\n    ratio = (level / x.sum(dim=1)).mean()\n    print(ratio)\n",
    )
    (tmp_path / "train.py").write_text(text)
    remedies, _ = plan.propose(
        report(11, "aten::div", "division-by-zero", "nan"), script=tmp_path / "train.py", cwd=tmp_path, budget_s=60
    )
    assert remedies[0].verified and "x.sum(dim=1)" in (remedies[0].patch or "")
