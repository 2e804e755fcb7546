"""In a fast loop most steps are not looked at; where the failure began is found nevertheless."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def explained(program: str, folder: Path) -> dict[str, Any]:
    """The report."""
    script = folder / "train.py"
    script.write_text(program)
    options = ["--json", "report.json", "--no-case", "--quiet", "--no-fixes", "--why-budget", "0"]
    command = [sys.executable, "-m", "whynan", "run", *options, str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stderr
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize(
    "bad, line, change",
    [(333, 11, ("", "")), (399, 11, ("", "")), (397, 12, WHILE), (370, 11, BREAK)],
    ids=["in the middle", "at the end", "at the end of a while loop", "before a break"],
)
def test_step_and_line_are_right_although_the_alarm_is_late(
    bad: int, line: int, change: tuple[str, str], tmp_path: Path
) -> None:
    report = explained(PROGRAM.replace(*change).replace("BAD", str(bad)), tmp_path)
    birth = report["birth"]
    assert (birth["step"], birth["phase"], birth["line"]) == (bad, "backward", line)
    assert report["reproduced"] == "bitwise"


# a buffer overflows in one iteration and is read by nobody
BUFFER = """
import torch

torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
model.register_buffer("largest", torch.zeros(2))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
for i in range(400):
    optimizer.zero_grad()
    x = torch.rand(8, 4)
    with torch.no_grad():
        value = torch.exp(x.sum() + (BAD <= i) * 100.0)
        model.largest[i % 2] = 0.9 * model.largest[i % 2] + 0.1 * value
    model(x).square().mean().backward()
    optimizer.step()
"""


@pytest.mark.parametrize("bad", [151, 332])
def test_a_buffer_that_was_bad_for_some_iterations(bad: int, tmp_path: Path) -> None:
    report = explained(BUFFER.replace("BAD", str(bad)), tmp_path)
    birth = report["birth"]
    assert (birth["step"], birth["line"], birth["op"]) == (bad, 12, "aten::exp")
    assert report["symptom"]["what"] == "buffer" and report["reproduced"] == "bitwise"
