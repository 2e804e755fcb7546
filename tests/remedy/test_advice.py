"""Advice where no patch can cure: it names the file, the line, the column, the device, and the next command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from whynan.case.facts import Birth, Cause, Elements, Report, Run
from whynan.remedy.advice import advise
from whynan.remedy.datafiles import bad_files
from whynan.remedy.mirror import Script
from whynan.remedy.source import Source


def program(folder: Path, text: str, *argv: str) -> tuple[Script, list[Source]]:
    (folder / "train.py").write_text(text)
    return Script(folder / "train.py", argv, folder), [Source.read(folder / "train.py")]


def report(cause: str, device: str = "cpu", **birth) -> Report:
    facts = {"step": 3, "iteration": 7, "phase": "data", "kind": "nan", "op": None} | birth
    return Report(
        verdict="nonfinite",
        run=Run(script="train.py", argv=("--epochs", "2"), device=device, rank=1, world_size=4),
        birth=Birth(**facts),
        causes=(Cause(class_=cause, level="proved", score=1.0, summary=""),),
    )


def test_lines_and_columns_of_a_table(tmp_path):
    rows = [f"{i},{i * 0.5},{'a' if i % 2 else 'b'}" for i in range(20)]
    rows[3], rows[11] = "3,,a", "11,n/a,a"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rain.csv").write_text("day,humidity,site\n" + "\n".join(rows) + "\n")
    files = bad_files(*program(tmp_path, "import os\nrows = open(os.path.join('data', 'rain.csv'))\n"))
    assert [(f.path, f.words) for f in files] == [
        ("data/rain.csv", "lines 5, 13 of column humidity hold no number (2 of 20)")
    ]
    shown = subprocess.run(files[0].look, shell=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert shown == "3,,a\n"


def test_indices_of_an_array_given_on_the_command_line(tmp_path):
    values = np.zeros((4, 3), dtype=np.float32)
    values[2, 1] = np.inf
    np.save(tmp_path / "x.npy", values)
    np.savez(tmp_path / "z.npz", a=values, b=np.zeros(2))
    files = bad_files(*program(tmp_path, "import sys\n", "--data=x.npy", "z.npz"))
    assert "1 of 12 values are not finite, first at (2, 1)" in files[0].words and files[0].path == "x.npy"
    assert files[1].words.startswith("array a: 1 of 12")
    command = files[0].look.replace("python ", f"{sys.executable} ", 1)
    shown = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert shown.strip() == "[[2 1]]"


def test_a_checkpoint_names_the_tensor(tmp_path):
    state = torch.nn.Linear(3, 2).state_dict()
    state["weight"][0, 0] = float("nan")
    torch.save({"model": state, "epoch": 3}, tmp_path / "last.pt")
    script, sources = program(tmp_path, "import torch\nstate = torch.load('last.pt')\n")
    (advice,) = advise(report("other", phase="init"), script, sources)
    assert advice.patch is None and not advice.verified and advice.safety == "display-only"
    assert "last.pt, `model.weight`: 1 of 6 values are not finite" in advice.advice


@pytest.mark.parametrize("name", ["x.csv", "x.npy", "x.pt"])
def test_sound_files_and_files_that_are_something_else_are_left_alone(name, tmp_path):
    script, sources = program(tmp_path, f"name = {name!r}\n")
    (tmp_path / name).write_bytes(b"\x00\xff not what it says")
    assert bad_files(script, sources) == []
    if name == "x.csv":
        (tmp_path / name).write_text("a,b\n1,2\n3,4\n")
    elif name == "x.npy":
        np.save(tmp_path / name, np.zeros(3))
    else:
        torch.save({"w": torch.zeros(2)}, tmp_path / name)
    assert bad_files(script, sources) == []


def test_rows_and_samples_of_the_batch(tmp_path):
    script, sources = program(tmp_path, "import torch\n")
    birth = {"tensor": "x", "rows": (2, 5), "note": "dataset samples 14, 90, column 3",
             "elements": Elements(count=2, total=64)}  # fmt: skip
    (advice,) = advise(report("bad-input", **birth), script, sources)
    for words in ("iteration 7", "2 of 64 values of `x`", "rows 2, 5", "dataset samples 14, 90, column 3"):
        assert words in advice.advice


def test_a_fault_that_does_not_come_back_names_rank_device_and_commands(tmp_path):
    script, sources = program(tmp_path, "import torch\n")
    (advice,) = advise(report("nondeterministic-fault", phase="forward"), script, sources)
    assert "rank 1 of 4, device cpu" in advice.advice
    assert "OMP_NUM_THREADS=1 whynan run train.py --epochs 2" in advice.advice
    (gpu,) = advise(report("nondeterministic-fault", device="cuda:1", phase="forward"), script, sources)
    assert "device cuda:1" in gpu.advice and "nvidia-smi" in gpu.advice
    module = Script(script.path, (), tmp_path, "pkg.train")
    (again,) = advise(report("nondeterministic-fault", phase="forward"), module, sources)
    assert "whynan run -m pkg.train --epochs 2" in again.advice


def test_an_op_of_the_program_gets_no_advice_about_data(tmp_path):
    script, sources = program(tmp_path, "import torch\n")
    assert advise(report("log-of-zero", phase="forward", op="aten::log"), script, sources) == []
