"""The example dies late and of itself, and its explanation names the line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from whynan.case.folder import read_case

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "demo" / "train.py"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env=environment,
        check=False,
    )


def losses(printed: str) -> list[float]:
    return [float(line.split()[3]) for line in printed.splitlines()]


@pytest.mark.slow
def test_the_example_dies_late_and_is_explained(tmp_path: Path) -> None:
    bare = run(tmp_path, str(SCRIPT))
    assert bare.returncode == 0 and bare.stderr == ""
    values = losses(bare.stdout)
    alive = [value for value in values if value == value]
    assert len(values) == 20 and 8 <= len(alive) < 16, "NaN shows between steps 150 and 320"
    assert alive[-1] < alive[0] / 3, "it trains well before"

    watched = run(tmp_path, "-m", "whynan", "run", "--json", "r.json", "--no-fixes", str(SCRIPT))
    assert watched.returncode == 3
    assert bare.stdout.startswith(watched.stdout) and len(watched.stdout.splitlines()) == len(alive)
    birth = read_case(tmp_path / "r.json").report.birth
    assert birth is not None
    assert (birth.op, birth.phase, birth.expression) == ("aten::log", "forward", "torch.log(1 - probability)")
