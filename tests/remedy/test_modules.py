"""`whynan run -m MODULE`: packages with relative imports, in the working directory and on the import path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from whynan.remedy.mirror import Script
from whynan.remedy.trials import run

NET = """import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return torch.log(torch.softmax(self.fc(x) * 10, dim=1))
"""
TRAIN = """import argparse

import torch

from .nets.net import Net

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, required=True)
args = parser.parse_args()
torch.manual_seed(0)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(args.steps):
    x = torch.rand(8, 3)
    y = torch.randint(0, 3, (8,))
    if step == 41:
        x = x * 1000
    loss = torch.nn.functional.nll_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
"""


@pytest.fixture
def package(tmp_path) -> Iterator[Path]:
    project = tmp_path / "project"
    (project / "pkg" / "nets").mkdir(parents=True)
    for name in ("pkg/__init__.py", "pkg/nets/__init__.py"):
        (project / name).write_text("")
    (project / "pkg" / "nets" / "net.py").write_text(NET)
    (project / "pkg" / "train.py").write_text(TRAIN)
    (project / "pkg" / "__main__.py").write_text("from . import train\n")
    yield project
    for name in [n for n in sys.modules if n.partition(".")[0] == "pkg"]:
        del sys.modules[name]  # looking for a module in a package imports the package


def test_the_file_behind_a_module(package, monkeypatch):
    monkeypatch.syspath_prepend(str(package))
    away = package.parent
    for name, file in (("pkg.train", "train.py"), ("pkg", "__main__.py"), ("pkg.__main__", "__main__.py")):
        script = Script.of("module", name, ("--steps", "9"), away)
        assert script.path == package / "pkg" / file and script.module == name
        assert script.root == away and Script.of("module", name, (), package).root == package
    elsewhere = package.parent / "elsewhere"
    elsewhere.mkdir()
    assert Script.of("module", "pkg.train", (), elsewhere).root == package
    assert Script.of("module", "no.such.module", (), away) is None and Script.of("module", "sys", (), away) is None


def test_the_file_behind_a_script(package):
    assert Script.of("script", "pkg", (), package).path == package / "pkg" / "__main__.py"
    assert Script.of("script", "pkg/train.py", (), package).root == package
    assert Script.of("script", "nothing.py", (), package) is None


@pytest.mark.slow
@pytest.mark.parametrize("inside", [True, False], ids=["working-directory", "import-path"])
def test_the_patched_module_is_the_one_that_runs(inside, package, monkeypatch):
    """The patch is made in a package that is imported, from the working directory or from PYTHONPATH."""
    from whynan.remedy import server

    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.setattr(server.SERVER, "process", None)  # it knows the import path that it was started with
    cwd = package if inside else package.parent / "elsewhere"
    cwd.mkdir(exist_ok=True)
    script = Script.of("module", "pkg.train", ("--steps", "60"), cwd)
    bare = run(script, None, 60)
    assert bare.bad == "loss" and bare.bad_step == 41, bare
    patch = """--- a/pkg/nets/net.py
+++ b/pkg/nets/net.py
@@ -11 +11 @@
-        return torch.log(torch.softmax(self.fc(x) * 10, dim=1))
+        return torch.log(torch.softmax(self.fc(x) * 10, dim=1).clamp(min=1e-8))
"""
    cured = run(script, patch, 60)
    server.SERVER.close()
    assert cured.finite and cured.steps == 60 and cured.crash is None
    assert not (cwd / "model.pt").exists()


@pytest.mark.slow
def test_a_run_of_a_module_ends_with_a_verified_patch(package):
    command = [sys.executable, "-m", "whynan", "run", "--json", "r.json", "-m", "pkg.train", "--steps", "60"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, env=env)
    assert done.returncode == 3, done.stderr[-2000:]
    first = json.loads((package / "r.json").read_text())["remedies"][0]
    assert first["verified"] and "+++ b/pkg/nets/net.py" in first["patch"]
    assert not (package / "model.pt").exists()
