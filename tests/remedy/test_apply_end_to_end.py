"""`whynan run --apply` on real files: only what the patch says changes, and only if the file is the one that ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """# -*- coding: latin-1 -*-
import torch

torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)  # Schrittweite: für später
BEFORE
for step in range(30):
\tx = torch.rand(4, 3)
\tif step == 12:
\t\tx = x * 0
\tlevel = torch.log(x.sum(dim=1))  # größer als 0
\tloss = (model(x).squeeze(1) - level).pow(2).mean()
\toptimizer.zero_grad()
\tloss.backward()
\toptimizer.step()
print("Ende")"""


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "whynan", "run", "--json", "report.json", *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    return done.returncode, done.stderr


def written(path: Path, before: str = "") -> bytes:
    text = PROGRAM.replace("BEFORE", before).replace("\n", "\r\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1"))
    return path.read_bytes()


def test_a_latin1_file_with_crlf_tabs_and_no_last_newline_behind_a_link(tmp_path):
    real = tmp_path / "src" / "train.py"
    before = written(real)
    (tmp_path / "link.py").symlink_to(real)
    os.chmod(real, 0o755)
    (tmp_path / "mine.txt").write_text("mine")
    status, said = run(tmp_path, "--apply", "link.py")
    assert status == 3 and f"applied to {real}" in said, said[-2000:]
    after = real.read_bytes()
    patch = json.loads((tmp_path / "report.json").read_text())["remedies"][0]["patch"]
    assert patch.splitlines()[1] == "+++ b/src/train.py"
    changed = [(a, b) for a, b in zip(before.split(b"\r\n"), after.split(b"\r\n")) if a != b]
    assert changed and all(b.startswith(b"\t") for _, b in changed) and len(changed) <= 3
    assert before.count(b"\r\n") == after.count(b"\r\n") and after.count(b"\n") == after.count(b"\r\n")
    assert after.endswith(b'print("Ende")') and "größer".encode("latin-1") in after
    assert (tmp_path / "link.py").is_symlink() and os.access(real, os.X_OK)
    assert {p.name for p in tmp_path.iterdir()} == {"src", "link.py", "mine.txt", "report.json", "whynan-cases"}
    assert subprocess.run([sys.executable, str(real)], capture_output=True).stdout.strip() == b"Ende"


def test_a_file_that_was_changed_while_it_ran_is_left_alone(tmp_path):
    later = "import os, time; os.utime(__file__, (time.time() + 5, time.time() + 5))"
    before = written(tmp_path / "train.py", later)
    status, said = run(tmp_path, "--apply", "train.py")
    assert status == 3 and "was changed while the program ran" in said
    assert (tmp_path / "train.py").read_bytes() == before


def test_nothing_is_written_without_being_asked(tmp_path):
    before = written(tmp_path / "train.py")
    status, said = run(tmp_path, "train.py")
    assert status == 3 and "Fix:" in said and (tmp_path / "train.py").read_bytes() == before
