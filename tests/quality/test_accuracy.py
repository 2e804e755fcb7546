"""How often whynan is right: the own corpus (and the shared one, where it lies beside the checkout) as thresholds.

`make quality` runs all; the fast suite runs a few, one of every phase.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
OWN = sorted(p.parent for p in (HERE.parent / "corpus").glob("*/truth.json"))
SHARED = sorted(p.parent for p in (HERE.parents[2] / "shared" / "corpus").glob("*/truth.json"))


def op_name(text: str | None) -> str:
    name = (text or "").replace("aten.", "aten::").replace("aten::", "")
    return re.sub(r"\.[A-Za-z_0-9]+$", "", name).rstrip("_").lower()


def run(case: Path, folder: Path) -> tuple[int, dict[str, Any]]:
    (folder / "train.py").write_text((case / "train.py").read_text())
    options = ["--json", "r.json", "--no-case", "--no-fixes", "--quiet"]
    command = [sys.executable, "-m", "whynan", "run", *options, "train.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, json.loads((folder / "r.json").read_text())


def judge(truth: dict[str, Any], status: int, report: dict[str, Any]) -> dict[str, bool]:
    """The columns of a score; for a healthy script the one column `healthy`."""
    if not truth["fails"]:
        return {"healthy": report["verdict"] == "healthy" and status == 0}
    birth = report["birth"] or {}
    said = [s for s in (birth.get("step"), birth.get("iteration")) if s is not None]
    right = [truth["step"], *truth.get("step_alt", [])]
    modules = truth.get("module") if isinstance(truth.get("module"), list) else [truth.get("module")]
    module = birth.get("module")
    causes = [cause["class"] for cause in report["causes"]]
    return {
        "detected": report["verdict"] == "nonfinite" and status == 3,
        "step": any(abs(s - r) <= truth.get("step_tolerance", 0) for s in said for r in right),
        "phase": birth.get("phase") in [truth["phase"], *truth.get("phase_alt", [])],
        "line": birth.get("line") in truth["lines"],
        "op": not truth["op"] or op_name(birth.get("op")) in set(map(op_name, truth["op"])),
        "module": not truth.get("module") or module in modules or (not module and None in modules),
        "cause": causes[:1] != [] and causes[0] in truth["cause"],
        "cause3": any(cause in truth["cause"] for cause in causes[:3]),
        "proved": all(c["class"] in truth["cause"] for c in report["causes"] if c["level"] == "proved"),
    }


LEAST = {
    "healthy": 1.0, "detected": 1.0, "step": 0.95, "phase": 0.95, "line": 0.9, "op": 0.9, "module": 0.9,
    "cause": 0.85, "cause3": 0.95, "proved": 1.0,
}  # fmt: skip


@pytest.mark.corpus
@pytest.mark.parametrize("cases", [OWN, SHARED], ids=["own", "shared"])
def test_shares(cases: list[Path], tmp_path: Path) -> None:
    columns: dict[str, list[tuple[str, bool]]] = {}
    for case in cases:
        truth = json.loads((case / "truth.json").read_text())
        folder = tmp_path / case.name
        folder.mkdir()
        for column, right in judge(truth, *run(case, folder)).items():
            columns.setdefault(column, []).append((case.name, right))
    for column, rows in columns.items():
        wrong = [name for name, right in rows if not right]
        share = 1 - len(wrong) / len(rows)
        print(f"{column:<9} {len(rows) - len(wrong)}/{len(rows)}", *wrong)
        assert share >= LEAST[column], (column, wrong)


def _one_of_each_phase() -> list[Path]:
    found: dict[str, Path] = {}
    for case in OWN:
        truth = json.loads((case / "truth.json").read_text())
        if truth.get("deterministic", True):
            found.setdefault(truth["phase"] if truth["fails"] else "healthy", case)
    return list(found.values())


@pytest.mark.parametrize("case", _one_of_each_phase(), ids=lambda p: p.name)
def test_one_of_each_phase(case: Path, tmp_path: Path) -> None:
    truth = json.loads((case / "truth.json").read_text())
    columns = judge(truth, *run(case, tmp_path))
    assert all(columns.values()), columns
