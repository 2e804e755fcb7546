"""A finding in the forms that CI services read: `run --format` and `show --format`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from whynan.case.folder import write_case
from whynan.cli.main import main

from messages.reports import complete  # isort: skip

HEALTHY = "import torch\nprint(torch.ones(1))\n"


@pytest.fixture
def case(tmp_path: Path) -> Path:
    return write_case(complete(), tmp_path)


def test_github(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(case), "--format", "github"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("::error file=train.py,line=61,") and printed.count("\n") == 1


def test_sarif(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(case), "--format", "sarif"]) == 0
    log = json.loads(capsys.readouterr().out)
    (result,) = log["runs"][0]["results"]
    assert (log["version"], result["level"]) == ("2.1.0", "error")
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 61


def test_a_healthy_run_leaves_a_sarif_file_without_results(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(HEALTHY)
    command = [sys.executable, "-m", "whynan", "run", "--format", "sarif", "train.py"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "tensor([1.])\n", "")
    assert json.loads((tmp_path / "whynan.sarif").read_text())["runs"][0]["results"] == []
