"""Remedies tried in the user's own loop, in real runs: what holds, what fails and when, and what is left as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """import torch
import torch.nn as nn

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return torch.log(torch.softmax(self.fc(x) * 10, dim=1))


model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(STEPS):
    x = torch.rand(8, 3)
    y = torch.randint(0, 3, (8,))
    if step == 41:
        x = x * 1000
    loss = nn.functional.nll_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item())
"""


def tried(folder: Path, text: str) -> tuple[dict, str]:
    """What the live trials say, and what the program printed."""
    (folder / "train.py").write_text(text)
    driver = Path(__file__).with_name("live_driver.py")
    command = [sys.executable, str(driver), str(folder / "live.json"), str(folder / "train.py")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)
    assert (folder / "live.json").exists(), done.stderr[-2000:]
    return json.loads((folder / "live.json").read_text()), done.stdout


@pytest.mark.slow
def test_a_patch_in_the_model_is_tried_as_it_is(tmp_path):
    live, printed = tried(tmp_path, PROGRAM.replace("STEPS", "200"))
    assert live["errors"] == []
    clamp = next(p for p in live["patches"] if p["class"] == "clamp" and "clamp(min=1e-8)" in p["after"])
    assert clamp["passed"] and clamp["lasting"] and clamp["unchanged"] and clamp["whole"]
    assert clamp["beyond"] == 50 and clamp["steps"] == 92
    popular = {n: live["experiments"][n] for n in ("clip", "lr/10", "float64")}
    assert {n: t["words"] for n, t in popular.items()} == dict.fromkeys(popular, "Inf again at step 41")
    lines = printed.splitlines()  # nothing of 50 further iterations, eight times, reaches the program's output
    assert [line.split()[0] for line in lines] == [str(i) for i in range(41)]


@pytest.mark.slow
def test_the_end_of_the_loop_ends_the_horizon(tmp_path):
    live, _ = tried(tmp_path, PROGRAM.replace("STEPS", "50"))
    clamp = next(p for p in live["patches"] if p["class"] == "clamp" and "clamp(min=1e-8)" in p["after"])
    assert clamp["lasting"] and clamp["to_the_end"] and clamp["beyond"] == 8


@pytest.mark.slow
def test_a_patch_of_the_running_loop_has_no_live_form(tmp_path):
    text = PROGRAM.replace("STEPS", "100").replace(
        "return torch.log(torch.softmax(self.fc(x) * 10, dim=1))", "return torch.softmax(self.fc(x) * 10, dim=1)"
    )
    live, _ = tried(tmp_path, text.replace("model(x), y)", "torch.log(model(x)), y)"))
    assert live["patches"] == [] and live["errors"] == []
    assert live["experiments"]["op-guard"]["lasting"] and not live["experiments"]["clip"]["finite"]


@pytest.mark.slow
def test_divergence_is_cured_by_a_smaller_rate_and_not_by_a_guard(tmp_path):
    text = """import torch

torch.manual_seed(0)
w = torch.nn.Parameter(torch.ones(4))
optimizer = torch.optim.SGD([w], lr=1.5)
for step in range(400):
    loss = (w * torch.tensor([1.0, 0.5, 0.2, 1.0])).pow(2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
    live, _ = tried(tmp_path, text)
    assert live["experiments"]["lr/10"]["passed"]
    assert not any(p["passed"] for p in live["patches"] if p["class"] in ("clamp", "add-eps"))
