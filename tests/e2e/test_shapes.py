"""`whynan run` finds the birthplace in every shape of training loop (real scripts in subprocesses)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.shapes import HEAD, SHAPES


def whynan(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "whynan", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)


@pytest.mark.parametrize("shape", SHAPES)
def test_birthplace(shape: str, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    source = HEAD + SHAPES[shape]
    script.write_text(source)
    line = next(i for i, text in enumerate(source.splitlines(), 1) if "# birth" in text)
    done = whynan("--json", "r.json", "--no-case", "--no-fixes", "--why-budget", 0, script, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    birth = report["birth"]
    assert (report["verdict"], birth["line"], birth["op"], birth["phase"]) == (
        "nonfinite",
        line,
        "aten::log",
        "forward",
    )
    assert birth["module"] == "" and birth["kind"] == "inf" and birth["elements"]["count"] == 1
    expected = {"gradient accumulation": 1, "no loop at all": 2, "two optimizers": 15, "weights updated by hand": 0,
                "weights updated by hand, several epochs": 0, "micro-batches": 3}
    if shape != "closure":
        assert birth["step"] == expected.get(shape, 7)
    assert report["reproduced"] == ("rerun" if shape == "no loop at all" else "bitwise")
