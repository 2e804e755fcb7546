"""Observing changes nothing: parameters after every step and everything printed are equal bit for bit.

A healthy script prints the same to the end; a failing one up to its failure.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CASES = sorted(p.parent for p in (HERE.parent / "corpus").glob("*/truth.json"))
SHARED = HERE.parents[2] / "shared" / "corpus"
CASES += sorted(p.parent for p in SHARED.glob("*/truth.json"))
FEW = ("checkpoint", "multi-worker", "gradscaler", "while", "lbfgs")  # in the fast suite, if their names say so


def output(command: list[str], cwd: Path) -> list[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": str(HERE)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
    return done.stdout.splitlines()


def check(case: Path, folder: Path) -> None:
    source = (case / "train.py").read_text()
    script = folder / "train.py"
    future = source.find("from __future__")
    place = 0 if future < 0 else source.index("\n", future) + 1
    script.write_text(source[:place] + "import digest_every_step\n" + source[place:])
    bare = output([sys.executable, str(script)], folder)
    if bare != output([sys.executable, str(script)], folder) and "multiprocessing" not in source:
        pytest.skip("differs from run to run by itself")
    options = ["--no-case", "--quiet", "--no-fixes", "--why-budget", "0"]
    watched = output([sys.executable, "-m", "whynan", "run", *options, str(script)], folder)
    if json.loads((case / "truth.json").read_text())["fails"]:
        assert bare[: len(watched)] == watched
    elif "multiprocessing" in source:
        assert sorted(bare) == sorted(watched)  # two processes print in no particular order
    else:
        assert bare == watched


@pytest.mark.corpus
@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_whole_corpus(case: Path, tmp_path: Path) -> None:
    if "fault" in str(json.loads((case / "truth.json").read_text()).get("cause")):
        pytest.skip("differs from run to run by its nature")
    check(case, tmp_path)


@pytest.mark.parametrize("case", [c for c in CASES if any(w in c.name for w in FEW)][:4], ids=lambda p: p.name)
def test_a_few(case: Path, tmp_path: Path) -> None:
    check(case, tmp_path)
