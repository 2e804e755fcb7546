"""`whynan check` on the corpora: nothing on healthy programs, and how many failures are named before the run.

pytest -m slow tests/quality/test_check_before_the_run.py
python tests/quality/test_check_before_the_run.py FOLDER...     prints the table of docs/how-to/check.md
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).parents[1] / "corpus"
NAMED = 0.5  # of the failing programs, at least


def check(case: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(truth, answer); the answer is None for a program that comes to no training step."""
    truth = json.loads((case / "truth.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(case, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("truth.json"))
        command = [sys.executable, "-m", "whynan", "check", "--seconds", "40", "--json", "check.json", "train.py"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=600)
        answer = Path(folder, "check.json")
        return truth, json.loads(answer.read_text()) if answer.exists() else None


def serious(answer: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [p for p in answer["problems"] if p["severity"] != "note"] if answer else []


def named(truth: dict[str, Any], answer: dict[str, Any] | None) -> str | None:
    """How the failure was named: by its line, by its cause, or because bad data are at fault; None if it was not."""
    for problem in serious(answer):
        if problem["line"] in (truth.get("lines") or []):
            return "line"
        if set(problem["causes"]) & set(truth["cause"]):
            return "cause"
        if problem["part"] == "data" and truth["phase"] == "data":
            return "data"
    return None


def cases(folder: Path, fails: bool) -> list[Path]:
    return [p.parent for p in sorted(folder.glob("*/truth.json")) if json.loads(p.read_text())["fails"] is fails]


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.parametrize("case", cases(CORPUS, fails=False), ids=lambda case: case.name)
def test_healthy_programs_have_no_problem(case: Path) -> None:
    _, answer = check(case)
    assert serious(answer) == []


@pytest.mark.slow
@pytest.mark.corpus
def test_failures_are_named_before_the_run() -> None:
    folder = cases(CORPUS, fails=True)
    with ThreadPoolExecutor(2) as pool:
        found = [named(*result) for result in pool.map(check, folder)]
    assert sum(how is not None for how in found) >= NAMED * len(folder)


def main(folders: list[str]) -> None:
    """One line a program, then the counts."""
    everything = [case for folder in folders for fails in (False, True) for case in cases(Path(folder), fails)]
    counts: Counter[tuple[bool, str]] = Counter()
    with ThreadPoolExecutor(2) as pool:
        for case, (truth, answer) in zip(everything, pool.map(check, everything), strict=True):
            kinds = sorted({problem["kind"] for problem in serious(answer)})
            how = named(truth, answer) if truth["fails"] else ""
            verdict = how or ("other" if kinds else "nothing")
            counts[truth["fails"], verdict] += 1
            print(f"{case.name}\t{'fails' if truth['fails'] else 'healthy'}\t{verdict}\t{', '.join(kinds)}", flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
