"""In a fast loop most steps are not looked at; where the failure began is found nevertheless."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# the square root of zero: its gradient is NaN, the loss is not, and the row of the table is never read again
PROGRAM = """
import torch

torch.manual_seed(0)
table = torch.nn.Parameter(torch.ones(400, 4))
optimizer = torch.optim.SGD([table], lr=1e-3)
for i in range(400):
    optimizer.zero_grad()
    x = torch.zeros(4) if i == BAD else torch.rand(4)
    size = (table[i] * x).square().sum()
    loss = torch.sqrt(size)
    loss.backward()
    optimizer.step()
"""


WHILE = ("for i in range(400):", "i = -1\nwhile (i := i + 1) < 400:")
BREAK = ("    optimizer.step()\n", "    optimizer.step()\n    if i == BAD + 3:\n        break\n")


@pytest.mark.parametrize(
    "bad, line, change",
    [(333, 11, ("", "")), (399, 11, ("", "")), (397, 12, WHILE), (370, 11, BREAK)],
    ids=["in the middle", "at the end", "at the end of a while loop", "before a break"],
)
def test_step_and_line_are_right_although_the_alarm_is_late(
    bad: int, line: int, change: tuple[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(PROGRAM.replace(*change).replace("BAD", str(bad)))
    options = ["--json", "report.json", "--no-case", "--quiet", "--no-fixes", "--why-budget", "0"]
    command = [sys.executable, "-m", "whynan", "run", *options, str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    report = json.loads((tmp_path / "report.json").read_text())
    assert done.returncode == 3, done.stderr
    birth = report["birth"]
    assert (birth["step"], birth["phase"], birth["line"]) == (bad, "backward", line)
    assert report["reproduced"] == "bitwise"
