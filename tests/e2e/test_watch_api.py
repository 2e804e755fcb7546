"""`whynan.watch` in loops of users' own, run as real scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

HEAD = """
import sys
import torch, whynan
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
watching, failing = sys.argv[1] == "watch", sys.argv[2] == "fail"
net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
x = torch.rand(240, 3) + 0.5
if failing:
    x[100, 1] = 0.0
data = TensorDataset(x, torch.rand(240))
loader = DataLoader(data, batch_size=8, shuffle=not failing, num_workers=WORKERS)
OPTIONS = dict(why_budget=3.0)
def watch(*a):
    return whynan.watch(*a, **OPTIONS) if watching else a[0]
def step(a, b):
    loss = (net(torch.log(a)).squeeze(-1) - b).square().mean()  # birth
    opt.zero_grad()
    loss.backward()
    opt.step()
    return loss
def end():
    steps = opt.state_dict()["state"][0]["step"]
    print(sum(p.double().sum().item() for p in net.parameters()), torch.rand(1).item(), steps)
"""
LOOPS = {
    "epochs": """
def train():
    for epoch in range(3):
        for a, b in watch(loader):
            step(a, b)
        with torch.no_grad():
            for a, b in loader:
                net(a.log())
train()
""",
    "one object, enumerate around it": """
batches = watch(loader)
assert len(batches) == 30
for epoch in range(2):
    for i, (a, b) in enumerate(batches, 1):
        loss = step(a, b) * i
        if i % 10 == 0:
            print(epoch, i, loss.item())
""",
    "enumerate inside it, through a generator": """
def batches():
    for i, batch in watch(enumerate(loader)):
        yield i, batch
for epoch in range(2):
    for i, (a, b) in batches():
        step(a, b)
        if i == 15 and not failing:
            break
""",
    "accumulation, an exception that is handled": """
for i, (a, b) in enumerate(watch(loader)):
    try:
        if i == 5:
            raise KeyError(i)
    except KeyError:
        continue
    (net(torch.log(a)).squeeze(-1) - b).square().mean().backward()  # birth
    if i % 2:
        opt.step()
        opt.zero_grad()
""",
    "a context": """
import contextlib
with whynan.watch(**OPTIONS) if watching else contextlib.nullcontext():
    for epoch in range(2):
        for a, b in loader:
            step(a, b)
""",
}


QUICK = ("one object, enumerate around it", "zip")  # in the fast suite


def some(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


def script(loop: str, workers: int = 0) -> str:
    return HEAD.replace("WORKERS", str(workers)) + loop + "end()\n"


def run(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "train.py").write_text(source)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-W", "ignore", "train.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120)


def report(folder: Path) -> dict:
    (case,) = (folder / "whynan-cases").iterdir()
    return json.loads((case / "report.json").read_text())


@pytest.mark.parametrize("loop", some(LOOPS))
def test_a_healthy_run_is_the_same_bit_for_bit(loop: str, tmp_path: Path) -> None:
    workers = 2 if loop == "epochs" else 0
    bare = run(tmp_path, script(LOOPS[loop], workers), "bare", "healthy")
    watched = run(tmp_path, script(LOOPS[loop], workers), "watch", "healthy")
    assert (bare.returncode, watched.returncode) == (0, 0), watched.stderr
    assert bare.stdout == watched.stdout and watched.stderr == ""
    assert not (tmp_path / "whynan-cases").exists()


@pytest.mark.parametrize("loop", some(LOOPS))
def test_a_failure_is_explained_in_the_loop(loop: str, tmp_path: Path) -> None:
    source = script(LOOPS[loop])
    done = run(tmp_path, source, "watch", "fail")
    assert done.returncode == 1, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("whynan.NonFiniteError: loss is ")
    told = report(tmp_path)
    lines = [i for i, text in enumerate(source.splitlines(), 1) if "# birth" in text]
    assert told["birth"]["line"] in lines and told["birth"]["op"] == "aten::log" and told["birth"]["rows"] == [4]
    assert told["reproduced"] == "bitwise" and told["birth"]["iteration"] == 12
    assert told["causes"][0]["class"] == "log-of-zero" and told["causes"][0]["level"] == "proved"


def test_the_state_is_the_one_before_the_failing_update(tmp_path: Path) -> None:
    """Who catches the error can save a healthy model, trained up to the failure exactly as without whynan."""
    loop = """
try:
    for i, (a, b) in enumerate(watch(loader)):
        if not watching and i == 12:
            break
        step(a, b)
except whynan.NonFiniteError as error:
    assert error.report.birth.op == "aten::log" and error.case.is_dir()
"""
    bare, watched = (run(tmp_path, script(loop), mode, "fail") for mode in ("bare", "watch"))
    assert watched.returncode == 0, watched.stderr
    weights = [done.stdout.split()[0] for done in (bare, watched)]
    assert weights[0] == weights[1] != "nan"


def test_going_on(tmp_path: Path) -> None:
    """Without the failing batch: as if the loader had never given it."""
    loop = """
OPTIONS["on_failure"] = "continue"
for i, (a, b) in enumerate(watch(loader)):
    if i % 10 == 0:
        print(i)
    if not watching and i == 12:
        torch.rand(64)  # what its dropout would have drawn is drawn by nobody
        continue
    step(a, b)
"""
    watched = run(tmp_path, script(loop), "watch", "fail")
    assert watched.returncode == 0, watched.stderr
    assert watched.stdout.split()[:3] == ["0", "10", "20"] and "nan" not in watched.stdout
    assert "going on without the batch of iteration 12" in watched.stderr
    assert [action["kind"] for action in report(tmp_path)["actions"]] == ["continue"]


DEGRADED = {
    "zip": ("for _, (a, b) in zip(range(99), watch(loader)):\n    step(a, b)\n", 1, "cannot get the same item again"),
    "next": (
        "it = iter(watch(loader))\nfor _ in range(30):\n    step(*next(it))\n", 1, "cannot get the same item again"
    ),
    "break": (
        "for a, b in watch(loader):\n    loss = step(a, b) if True else 0\n    if loss.isnan(): break\n",
        0,
        "had left its loop",
    ),
    "raise": (
        "with whynan.watch(**OPTIONS):\n    for a, b in loader:\n        loss = step(a, b)\n"
        "        if loss.isnan(): raise ValueError('mine')\n",
        1,
        "had left its loop",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", some(DEGRADED))
def test_what_cannot_be_executed_again_says_so(how: str, tmp_path: Path) -> None:
    loop, status, note = DEGRADED[how]
    done = run(tmp_path, script(loop), "watch", "fail")
    assert done.returncode == status, done.stderr
    told = report(tmp_path)
    assert told["symptom"]["step"] == 12 and any(note in text for text in told["notes"])
    assert told["reproduced"] == "no"
    last = done.stderr.strip().splitlines()
    assert how != "raise" or "ValueError: mine" in last
    assert how not in ("zip", "next") or last[-1].startswith("whynan.NonFiniteError")


def test_options(tmp_path: Path) -> None:
    calls = (
        ("whynan.watch(loader, memory=3)", "memory"),
        ("whynan.watch(3)", "something to iterate over"),
        ("whynan.watch(loader, guard='jump')", "Valid words"),
        ("whynan.watch(loader, memory_mb=10.0), whynan.watch(loader, memory_mb=20.0)", "is watched with"),
        ("iter(whynan.watch())", "no loader"),
    )
    lines = [f"try: {call}\nexcept whynan.UsageError as error: print(error)" for call, _ in calls]
    done = run(tmp_path, HEAD.replace("WORKERS", "0") + "\n".join(lines), "watch", "healthy")
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(calls) and all(says in line for line, (_, says) in zip(told, calls, strict=True))


@pytest.mark.slow
def test_nothing_happens_under_whynan_run(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(script(LOOPS["epochs"]))
    command = [sys.executable, "-m", "whynan", "run", "--no-fixes", "--no-rerun", "--why-budget", "0", "train.py",
               "watch", "fail"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 3 and report(tmp_path)["reproduced"] == "bitwise"
