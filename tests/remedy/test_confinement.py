"""A trial alters nothing of the user's: not by relative or absolute paths, not through links or child processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from whynan.remedy import confinement, trials
from whynan.remedy.mirror import SMALL, Script, mirror

PROGRAM = """
import os, shutil, sqlite3, subprocess, sys
from pathlib import Path
import numpy as np
import torch

HERE = Path(sys.argv[1])      # the user's folder, by its absolute path
AWAY = Path(sys.argv[2])      # another folder of the user's

model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    model(torch.ones(4, 2)).sum().backward()
    optimizer.step()

for base in (Path("."), HERE, AWAY):
    torch.save(model.state_dict(), base / "model.pt")
    assert set(torch.load(base / "model.pt")) == {"weight", "bias"}
    np.save(base / "values.npy", np.ones(3))
    assert np.load(base / "values.npy").sum() == 3
    with open(base / "log.csv", "a") as f:
        f.write("theirs\\n")
    assert (base / "log.csv").read_text() == "mine\\ntheirs\\n", base
    (base / "part.tmp").write_text("new")
    os.replace(base / "part.tmp", base / "best.txt")
    assert (base / "best.txt").read_text() == "new" and not (base / "part.tmp").exists()
    os.remove(base / "old.txt")
    assert not (base / "old.txt").exists()
    shutil.rmtree(base / "runs")
    os.makedirs(base / "runs" / "exp1")
    (base / "runs" / "exp1" / "x.txt").write_text("x")
    assert (base / "runs" / "exp1" / "x.txt").read_text() == "x"
    (base / "fresh.flag").touch()
    os.truncate(base / "big.bin", 0)
for base in (HERE, AWAY):     # what python does not see: refused, or done in the copy
    try:
        sqlite3.connect(base / "results.db").execute("create table t (x)")
    except sqlite3.Error:
        pass
    command = f"rm -rf {base}/big.bin {base}/keep; echo x > {base}/child.txt"
    subprocess.run(["sh", "-c", command], stderr=subprocess.DEVNULL)
sqlite3.connect("results.db").execute("create table t (x)")
subprocess.run(["sh", "-c", "rm -rf keep big.bin; echo x > child.txt; echo x >> log.csv"], check=True)
"""


def folder(path: Path) -> Path:
    (path / "runs" / "exp0").mkdir(parents=True)
    (path / "keep").mkdir()
    (path / "keep" / "it.txt").write_text("mine\n")
    (path / "runs" / "exp0" / "x.txt").write_text("mine\n")
    for name in ("log.csv", "old.txt", "best.txt", "model.pt", "values.npy"):
        (path / name).write_text("mine\n")
    (path / "big.bin").write_bytes(b"0" * (SMALL + 1))  # too large to be copied: a link
    return path


def contents(path: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else None for p in sorted(path.rglob("*"))}


@pytest.mark.slow
def test_a_trial_alters_nothing_of_the_users(tmp_path):
    work, away = folder(tmp_path / "work"), folder(tmp_path / "away")
    (work / "train.py").write_text(PROGRAM)
    before = contents(work), contents(away)
    seen = trials.run(Script(work / "train.py", (str(work), str(away)), work), None, 60)
    assert seen.crash is None and seen.finite and seen.steps == 3
    if confinement_is_complete():
        assert (contents(work), contents(away)) == before


def confinement_is_complete() -> bool:
    """Whether the kernel helps; asked in a child, because there is no way back."""
    code = f"import sys; sys.path.insert(0, {os.path.dirname(confinement.__file__)!r}); import confinement as c; "
    code += "sys.exit(0 if c.lock('/tmp') else 1)"
    return subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.skipif(not confinement_is_complete(), reason="this kernel has no Landlock")
def test_the_kernel_refuses_what_python_does_not_see(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    code = f"""
import os, sys
sys.path.insert(0, {os.path.dirname(confinement.__file__)!r})
import confinement
assert confinement.lock({str(tmp_path / "inside")!r})
os.chdir({str(tmp_path)!r})
for attempt in (lambda: open("mine.txt", "w"), lambda: open("mine.txt", "a"), lambda: os.remove("mine.txt"),
                lambda: os.mkdir("new"), lambda: os.rename("mine.txt", "inside/x"), lambda: os.truncate("mine.txt", 0)):
    try:
        attempt()
    except PermissionError:
        continue
    sys.exit(1)
open("inside/ok.txt", "w").write("ok")
os.rename("inside/ok.txt", "inside/fine.txt")
open("/dev/null", "w").write("x")
assert open("mine.txt").read() == "mine"
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert (tmp_path / "mine.txt").read_text() == "mine" and (tmp_path / "inside" / "fine.txt").exists()


def test_the_stand_in_has_real_folders_copies_of_what_is_small_and_links_to_what_is_large(tmp_path):
    work = folder(tmp_path / "project")
    (work / ".venv").mkdir()
    (work / "train.py").write_text("import helper\n")
    (work / "data").symlink_to(work / "keep")
    (tmp_path / "root").mkdir()
    script, cwd = mirror(Script(work / "train.py", (), work), None, tmp_path / "root")
    assert cwd == script.parent and not script.is_symlink()
    assert (cwd / "runs").is_dir() and not (cwd / "runs").is_symlink()
    assert not (cwd / "log.csv").is_symlink() and (cwd / "big.bin").is_symlink()
    assert (cwd / "data").is_symlink() and (cwd / "data" / "it.txt").read_text() == "mine\n"
    assert (cwd / ".venv").is_symlink()
