"""What is handed over: literals that make the same tensor, programs that run, patches that were run, strict JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from preflight.fuzz.formulas import broken
from preflight.fuzz.searching import search
from whynan.cli.main import main
from whynan.preflight.fuzz.literal import literal
from whynan.remedy.edits import apply_patch


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (3,), (2, 4), (3, 5), (0, 2)])
def test_literals_make_the_same_tensor(dtype, shape) -> None:
    generator = torch.Generator().manual_seed(0)
    for scale in (1.0, 1e-30, 3e4):
        tensor = (torch.randn(shape, generator=generator).clamp(-2, 2) * scale).to(dtype)
        made = eval(literal(tensor), {"torch": torch})
        assert made.dtype == dtype and made.shape == tensor.shape and torch.equal(made, tensor)
    assert torch.equal(eval(literal(torch.tensor([True, False]))), torch.tensor([True, False]))
    assert literal(torch.full((3, 4), 0.5)) == "torch.full((3, 4), 0.5)"


LOSSES = '''"""Losses that a user wrote."""

import torch

print("imported once")


def nll(logits, target):
    probs = torch.softmax(logits, dim=-1)
    return -torch.log(probs[torch.arange(len(probs)), target]).mean()


def square(x):
    return (x * x).mean()


def gaussian(mean, variance):
    return (variance.log() + mean**2 / variance).mean()
'''


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "my_losses.py").write_text(LOSSES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_losses", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_the_command_finds_mends_and_says_so(folder, capsys) -> None:
    assert main(["fuzz", "my_losses.py:nll", "--time", "120", "--json", "found.json"]) == 3
    printed = capsys.readouterr().out
    for part in ("my_losses.py:10", "log-of-zero", "remedy    stable-formulation", "verified", "reproduce"):
        assert part in printed
    data = json.loads((folder / "found.json").read_text(), parse_constant=pytest.fail)
    (finding,) = data["findings"]
    assert data["schema"] == "whynan.fuzz/1" and finding["repair"]["class"] == "stable-formulation"
    (folder / "repro.py").write_text(finding["reproducer"])
    ran = subprocess.run([sys.executable, "repro.py"], capture_output=True, text=True, cwd=folder)
    assert ran.returncode == 0 and ("inf" in ran.stdout or "nan" in ran.stdout)
    (folder / "my_losses.py").write_text(apply_patch(LOSSES, finding["repair"]["patch"]))
    ran = subprocess.run([sys.executable, "repro.py"], capture_output=True, text=True, cwd=folder)
    assert ran.returncode == 0 and "inf" not in ran.stdout and "nan" not in ran.stdout


def test_exit_status(folder, capsys) -> None:
    assert main(["fuzz", "my_losses:square", "--time", "120", "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("square: nothing found")
    assert {p.name for p in folder.iterdir()} <= {"my_losses.py", "__pycache__"}  # nothing is left behind
    for wrong in (
        ["my_losses"],
        ["my_losses.py:absent"],
        ["absent.py:nll"],
        ["absent:nll"],
        ["my_losses:nll", "--input", "logits=float33[2]"],
        ["my_losses:nll", "--input", "other=float[2]"],
        ["my_losses:nll", "--dtype", "int8"],
        ["my_losses:nll", "--range", "2,1"],
        ["my_losses:nll", "--jobs", "-1"],
        ["my_losses:nll", "--time", "0"],
        ["my_losses:nll", "--example", "absent.pt"],
    ):
        assert main(["fuzz", *wrong]) == 2, wrong
        assert capsys.readouterr().err.startswith("whynan: ")


def test_examples_give_the_shapes(folder, capsys) -> None:
    torch.save({"logits": torch.randn(2, 6), "target": torch.tensor([5, 1])}, "batch.pt")
    assert main(["fuzz", "my_losses:nll", "--example", "batch.pt", "--time", "120", "--no-fixes"]) == 3
    assert "logits=float[2,6]" in capsys.readouterr().out


def test_two_faults_take_two_edits(folder) -> None:
    report = search("my_losses.py:gaussian", inputs={"variance": "float[3,4] in [0,100]"})
    repair = report.findings[0].repair
    assert repair is not None and repair.patch.count("1e-8") >= 1
    names: dict = {}
    exec(apply_patch(LOSSES, repair.patch), names)
    zero = torch.zeros(1, 1, requires_grad=True)
    value = names["gaussian"](torch.zeros(1, 1), zero)
    (gradient,) = torch.autograd.grad(value, zero)
    assert bool(torch.isfinite(value)) and bool(torch.isfinite(gradient).all())


def test_layers_are_mended_too() -> None:
    (finding,) = search(broken.RMSNorm).findings
    assert finding.repair is not None and finding.repair.verified
    assert finding.reproducer.splitlines()[-2] == "result = RMSNorm()(x)"


@pytest.mark.slow
def test_processes_find_the_same(folder) -> None:
    alone = search("my_losses.py:nll", fixes=False, accuracy=False)
    several = search("my_losses.py:nll", fixes=False, accuracy=False, jobs=2)
    assert [f.expression for f in alone.findings] == [f.expression for f in several.findings]
