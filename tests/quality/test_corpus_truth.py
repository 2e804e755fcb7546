"""tests/corpus says of each script whether it fails and which edits cure it; here the scripts are asked.

No whynan in this file: a script runs in a process of its own under `stayed_finite.py`.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent / "corpus"
CASES = sorted(p.parent.name for p in CORPUS.glob("*/truth.json"))
PHASES = {"data", "init", "forward", "backward", "optimizer"}
CAUSES = {
    "bad-input", "input-scale", "exploding-gradients", "learning-rate-too-high", "bad-initialization",
    "low-precision-overflow", "low-precision-underflow", "log-of-zero", "division-by-zero", "domain-error",
    "exp-overflow", "arithmetic-overflow", "singular-gradient", "fully-masked-softmax", "empty-reduction",
    "optimizer-misuse", "loss-scaling-misuse", "uninitialized-memory", "ill-conditioned-linalg",
    "nondeterministic-fault", "indexing-or-padding", "other",
}  # fmt: skip


def truth_of(name: str) -> dict[str, Any]:
    return json.loads((CORPUS / name / "truth.json").read_text())


def source_of(name: str) -> str:
    return (CORPUS / name / "train.py").read_text()


def edited(source: str, change: dict[str, Any]) -> str:
    for old, new in change["replace"]:
        assert old in source, f"{change['class']}: nothing to replace: {old!r}"
        source = source.replace(old, new)
    return source


def run(source: str, folder: Path) -> dict[str, Any]:
    script = folder / "train.py"
    script.write_text(source)
    command = [sys.executable, str(HERE / "stayed_finite.py"), str(script)]
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONHASHSEED="0")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, env=environment)
    assert done.stdout, done.stderr[-1000:]
    return json.loads(done.stdout.splitlines()[-1])


def failing() -> list[str]:
    return [name for name in CASES if truth_of(name)["fails"]]


@pytest.mark.parametrize("name", CASES)
def test_truth_is_well_formed(name: str) -> None:
    truth, source = truth_of(name), source_of(name)
    assert truth["id"] == name
    assert 25 <= len(source.splitlines()) <= 100
    if not truth["fails"]:
        assert truth["alarms"] and truth["steps"] >= 0
        return
    assert truth["phase"] in PHASES
    assert truth["first"] in {"nan", "inf"}
    assert truth["cause"] and set(truth["cause"]) <= CAUSES
    assert all(source.splitlines()[line - 1].strip() for line in truth["lines"])
    assert len(truth["fixes"]) >= 2 and all(fix["verified"] for fix in truth["fixes"])
    assert truth["not_fixes"] and not set(truth["not_fixes"]) & {fix["class"] for fix in truth["fixes"]}
    for change in truth["fixes"] + truth["not_fixes_tried"]:
        ast.parse(edited(source, change))


def test_causes_that_are_rare_elsewhere_are_covered_twice() -> None:
    first = [truth_of(name)["cause"][0] for name in failing()]
    for cause in (
        "input-scale", "exploding-gradients", "bad-initialization", "low-precision-underflow", "loss-scaling-misuse",
        "uninitialized-memory", "ill-conditioned-linalg", "nondeterministic-fault", "indexing-or-padding",
    ):  # fmt: skip
        assert first.count(cause) >= 2, cause


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_script_ends_as_its_truth_says(name: str, tmp_path: Path) -> None:
    truth = truth_of(name)
    answer = run(source_of(name), tmp_path)
    if not truth["fails"]:
        assert answer["finite"], answer
        assert answer["steps"] == truth["steps"]
        return
    if not truth.get("deterministic", True):
        attempts = [answer] + [run(source_of(name), tmp_path) for _ in range(2) if answer["finite"]]
        assert not all(a["finite"] for a in attempts)
        return
    assert not answer["finite"], answer
    what = truth["measured"]["first_bad"]
    if what and answer["bad"]:
        assert abs(answer["bad"][0] - what["step"]) <= max(1, truth["step_tolerance"]), (answer, what)


@pytest.mark.slow
@pytest.mark.parametrize("name", failing())
def test_fixes_cure(name: str, tmp_path: Path) -> None:
    truth, source = truth_of(name), source_of(name)
    for fix in truth["fixes"]:
        answer = run(edited(source, fix), tmp_path)
        assert answer["finite"] and answer["moved"], (fix["edit"], answer)
        assert answer["steps"] >= 0.9 * truth["measured"]["steps"] - 1, (fix["edit"], answer)


@pytest.mark.slow
@pytest.mark.parametrize("name", failing())
def test_popular_remedies_that_do_not_cure(name: str, tmp_path: Path) -> None:
    truth, source = truth_of(name), source_of(name)
    for change in truth["not_fixes_tried"]:
        # an accident that happens at random is given a second chance to happen
        attempts = 1 if truth.get("deterministic", True) else 3
        answers = [run(edited(source, change), tmp_path) for _ in range(attempts)]
        assert not all(a["finite"] for a in answers), (change["edit"], answers)
