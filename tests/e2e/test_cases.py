"""Cases of real programs: complete, without code, born again elsewhere, and small enough to post."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "import torch, torch.nn as nn\nimport torch.nn.functional as F\ntorch.manual_seed(0)\n"
LOOP = """\
optimizer = {optimizer}
for step in range(40):
    x = torch.randn(6, 4)
    loss = {loss}
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
SGD = "torch.optim.SGD(model.parameters(), lr=0.1)"


def program(loss: str, optimizer: str = SGD, model: str = "nn.Linear(4, 3)") -> str:
    return f"{HEAD}model = {model}\n" + LOOP.format(loss=loss, optimizer=optimizer)


RELU = "-torch.log(torch.relu(model(x)).sum(1)).mean() if step == 5 else model(x).pow(2).mean()"
ZERO = "torch.log(model(torch.zeros(2, 4)) * 0).mean()"
NO_EPS = "torch.optim.Adam(model.parameters(), eps=0)"
PROGRAMS = {
    "forward": (program(RELU), "log"),
    "backward": (program("(model(x) * (step != 3)).pow(2).sum(1).sqrt().mean()"), "div"),
    "optimizer": (program("(model(x) * (0 * x[:, :1])).sum()", NO_EPS), "addcdiv_"),
    "half": (program("(model(x).half() * 3e4 * (1 + step)).float().pow(2).mean()"), "mul"),
    "masked": (program("torch.softmax(model(x).masked_fill(x[:, :3] * 0 + step >= 4, -torch.inf), -1).square().mean()"),
               "_softmax"),
    "std": (program("(model(x) / model(x[: 6 - step]).std(0)).pow(2).mean()"), "std"),
    "setup": (f"{HEAD}weight = torch.ones(3) / torch.arange(3.0)\nmodel = nn.Linear(4, 3)\n"
              + LOOP.format(loss="(model(x) * weight).pow(2).mean()", optimizer=SGD), "div"),
    "no loop": (f"{HEAD}model = nn.Linear(4, 3)\nloss = {ZERO}\nloss.backward()\n", "log"),
}  # fmt: skip
FAST = ("backward",)


def whynan(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "whynan", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def recorded(folder: Path, text: str, *options: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(text, encoding="utf-8")
    done = whynan(folder, "run", "--no-fixes", "--why-budget", "1", *options, "train.py")
    assert done.returncode == 3, done.stderr
    (case,) = (folder / "whynan-cases").iterdir()
    return case


def without_pickle(case: Path) -> bool:
    """No zip (torch.save), no pickle opcodes at the beginning: only text, JSON and safetensors."""
    for file in (path for path in case.rglob("*") if path.is_file()):
        if file.suffix not in (".json", ".html", ".txt", ".py", ".safetensors"):
            return False
        head = file.read_bytes()[:16]
        if file.suffix == ".safetensors":
            if head[8:9] != b"{":
                return False
        elif head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or head[:2] == b"PK":
            return False
    return True


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in PROGRAMS])
def test_from_the_run_to_the_script(name: str, tmp_path: Path) -> None:
    text, op = PROGRAMS[name]
    case = recorded(tmp_path / "here", text)
    report = json.loads((case / "report.json").read_text())
    assert report["birth"]["op"] == f"aten::{op}"
    tensors = {path.name for path in (case / "tensors").iterdir()}
    assert {"slice.json", "slice.safetensors"} <= tensors
    if name != "no loop":
        assert {"batch.json", "state.json", "state.safetensors", "random.json", "random.safetensors"} <= tensors
    assert (case / "README.txt").is_file() and (case / "source" / "train.py").read_text() == text
    assert without_pickle(case)

    elsewhere = shutil.copytree(case, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "here")  # no script, no other case
    shutil.rmtree(elsewhere / "source")
    again = whynan(tmp_path, "replay", "elsewhere")
    assert again.returncode == 3 and again.stdout.startswith("Confirmed: "), again.stdout + again.stderr
    assert "same inputs bit for bit" in again.stdout
    small = whynan(tmp_path, "shrink", "elsewhere", "-o", "small.py")
    assert small.returncode == 0, small.stderr
    script = (tmp_path / "small.py").read_text()
    assert len(script.splitlines()) <= 30 and "import torch\n" in script and str(tmp_path) not in script
    run = subprocess.run([sys.executable, "small.py"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0 and ("nan" in run.stdout or "inf" in run.stdout)


def test_the_state_is_that_before_the_failing_step(tmp_path: Path) -> None:
    import torch

    from whynan.replay.batchfile import read_batch
    from whynan.replay.tensorfile import TensorFile

    text = HEAD + (
        "model = nn.Linear(2, 1)\nmodel.twin = nn.Linear(2, 1)\nmodel.twin.weight = model.weight\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.25, momentum=0.5)\n"
        "data = [{'x': torch.ones(3, 2) * i, 'name': 'b', 'object': object()} for i in range(8)]\n"
        "for batch in data:\n"
        "    loss = model(batch['x']).pow(2).mean() / (batch['x'].sum() - 30)\n"
        "    optimizer.zero_grad(); loss.backward(); optimizer.step()\n"
    )
    case = recorded(tmp_path / "run", text)
    folder = case / "tensors"
    batch = read_batch(folder)
    assert batch["x"].tolist() == [[5.0, 5.0]] * 3 and batch["name"] == "b" and "object" in repr(batch["object"])
    state = json.loads((folder / "state.json").read_text())
    assert state["optimizers"][0]["class"] == "SGD" and state["optimizers"][0]["groups"][0]["lr"] == 0.25
    file = TensorFile(folder / "state.safetensors")
    read = {entry["name"]: file.read(entry["tensor"]) for entry in state["entries"]}
    assert read["weight"].data_ptr() == read["twin.weight"].data_ptr()

    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    twin = torch.nn.Linear(2, 1)  # drawn, then tied
    optimizer = torch.optim.SGD([*model.parameters(), twin.bias], lr=0.25, momentum=0.5)
    for i in range(5):
        x = torch.ones(3, 2) * i
        optimizer.zero_grad()
        (model(x).pow(2).mean() / (x.sum() - 30)).backward()
        optimizer.step()
    assert torch.equal(read["weight"], model.weight) and torch.equal(read["bias"], model.bias)
    momentum = optimizer.state[model.weight]["momentum_buffer"]
    assert torch.equal(read["momentum_buffer of weight"], momentum)


def test_a_small_budget_says_what_is_missing(tmp_path: Path) -> None:
    case = recorded(tmp_path / "run", PROGRAMS["backward"][0], "--case-mb", "0.0003")
    absent = json.loads((case / "absent.json").read_text())
    assert any(what.startswith("the state") for what in absent)
    assert not (case / "tensors" / "state.json").exists()
    assert "Left out: the state" in (case / "README.txt").read_text()


def test_healthy_runs_can_be_compared(tmp_path: Path) -> None:
    text = program("(model(x) * {}).pow(2).mean()")
    for name, factor in (("a", "1"), ("b", "1 if step < 7 else 1.01")):
        (tmp_path / f"{name}.py").write_text(text.replace("{}", f"({factor})"), encoding="utf-8")
        assert whynan(tmp_path, "run", "--json", f"{name}.json", f"{name}.py").returncode == 0
    done = whynan(tmp_path, "diff", "a.json", "b.json")
    assert done.returncode == 0 and done.stdout.startswith("They part at step 7: "), done.stdout


def test_a_disk_that_refuses_costs_the_case_only(tmp_path: Path) -> None:
    (tmp_path / "whynan-cases").write_text("in the way")
    (tmp_path / "train.py").write_text(PROGRAMS["backward"][0], encoding="utf-8")
    done = whynan(tmp_path, "run", "--no-fixes", "--why-budget", "1", "train.py")
    assert done.returncode == 3 and "the case could not be written" in done.stderr
    assert "NaN" in done.stderr or "Inf" in done.stderr
