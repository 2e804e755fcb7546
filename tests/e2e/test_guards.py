"""`whynan run --guard ...` and `--fix continue`, on real scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.test_shapes import whynan

SCRIPT = """
import math, sys
import torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.StepLR(opt, 20)
x, y = torch.rand(400, 3) + 0.5, torch.rand(400)
for row in BAD:
    x[row, 1] = 0.0
for i in range(50):
    a, b = x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]
    loss = (net(torch.log(a)).squeeze(-1) - b).square().mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    schedule.step()
    if i % 5 == 0:
        print(i)
params = list(net.parameters())
print(all(bool(torch.isfinite(p).all()) for p in params), sum(p.double().sum().item() for p in params))
"""


def run(folder: Path, bad: list[int], *options: object) -> tuple[int, list[str], str, dict[str, Any]]:
    (folder / "train.py").write_text(SCRIPT.replace("BAD", str(bad)))
    done = whynan("--json", "r.json", "--no-fixes", "--no-rerun", "--why-budget", 2, *options, "train.py", cwd=folder)
    return done.returncode, done.stdout.split(), done.stderr, json.loads((folder / "r.json").read_text())


@pytest.mark.slow
def test_nothing_fires_nothing_changes(tmp_path: Path) -> None:
    bare = run(tmp_path, [])
    guarded = run(tmp_path, [], "--guard", "skip,rollback,precision")
    assert bare[:3] == guarded[:3] and guarded[3]["verdict"] == "healthy" and guarded[2] == ""


def test_skip(tmp_path: Path) -> None:
    status, out, err, report = run(tmp_path, [100, 300], "--guard", "skip")
    assert status == 0 and out[-2] == "True" and out[:10] == [str(i) for i in range(0, 50, 5)]
    assert [action["step"] for action in report["actions"]] == [12, 37] and report["verdict"] == "suspect"
    assert "guard at step 12: update skipped" in err and "skip 2 times (steps 12, 37)" in err


def test_rollback_drops_the_batches(tmp_path: Path) -> None:
    status, out, err, report = run(tmp_path, [300], "--guard", "rollback=3")
    assert status == 0 and out[-2] == "True" and out[:10] == [str(i) for i in range(0, 50, 5)]
    (action,) = report["actions"]
    assert action["kind"] == "rollback" and "batches dropped" in action["message"] and action["message"] in err


@pytest.mark.slow
def test_rollback_with_a_lower_rate(tmp_path: Path) -> None:
    status, out, _, report = run(tmp_path, [300], "--guard", "rollback=3,rate=0.5")
    assert status == 0 and out[-2] == "True"
    assert "learning rate times 0.5" in report["actions"][0]["message"]


@pytest.mark.parametrize(
    "words, kinds", [("skip,row=2", ["skip", "skip", "gave-up"]), ("skip,cap=1", ["skip", "gave-up"])]
)
def test_it_gives_up_with_the_diagnosis(words: str, kinds: list[str], tmp_path: Path) -> None:
    status, _, err, report = run(tmp_path, list(range(100, 400)), "--guard", words)
    assert status == 3 and [action["kind"] for action in report["actions"]] == kinds
    assert report["birth"]["op"] == "aten::log" and report["causes"][0]["class"] == "log-of-zero"
    assert "gave up: no more skip" in err


@pytest.mark.slow
def test_rollback_gives_up(tmp_path: Path) -> None:
    status, _, _, report = run(tmp_path, list(range(100, 400)), "--guard", "rollback=2,cap=3")
    assert status == 3 and [action["kind"] for action in report["actions"]] == ["rollback"] * 3 + ["gave-up"]


def test_fix_continue(tmp_path: Path) -> None:
    status, out, err, report = run(tmp_path, [100], "--fix", "continue")
    assert status == 3 and out[-2] == "True" and out[-3] == "45"
    assert out[:10] == [str(i) for i in range(0, 50, 5)]  # what was said is not said again
    assert report["causes"][0]["level"] == "proved" and [a["kind"] for a in report["actions"]] == ["continue"]
    assert "GOING ON with the argument of that op kept inside its domain" in err
    assert "this run was kept alive" in err.splitlines()[-1]
    (case,) = (tmp_path / "whynan-cases").iterdir()
    assert json.loads((case / "report.json").read_text())["actions"] == report["actions"]


def test_skipping_in_vain_ends_in_a_rollback(tmp_path: Path) -> None:
    """What is wrong is the learning rate, not a batch."""
    text = SCRIPT.replace("BAD", "[]").replace("Adam(net.parameters(), lr=1e-2)", "SGD(net.parameters(), lr=50.0)")
    (tmp_path / "train.py").write_text(text)
    done = whynan("--no-fixes", "--no-rerun", "--why-budget", 0, "--json", "r.json", "--guard",
                  "skip,row=3,rollback=2,rate=0.01", "train.py", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0 and done.stdout.split()[-2] == "True", done.stderr
    kinds = [action["kind"] for action in json.loads((tmp_path / "r.json").read_text())["actions"]]
    assert kinds == ["skip"] * 3 + ["gave-up", "rollback"]


@pytest.mark.slow
def test_watch_only_diagnoses_in_place(tmp_path: Path) -> None:
    status, _, _, report = run(tmp_path, [100], "--watch-only")
    assert status == 3 and report["causes"][0]["level"] == "proved" and report["remedies"] == []


def test_unknown_words(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print(1)")
    done = whynan("--guard", "skip,jump", "train.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and "Valid words" in done.stderr


HALF = """
import math, torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=15)
x, y = torch.rand(640, 3) + 0.5, torch.rand(640)
x[320:328] *= LARGE
scales, kinds = [], []
for i in range(80):
    a, b = x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]
    with torch.autocast("cpu", dtype=torch.float16):
        h = net[0](a)
        loss = (net[2](net[1](h)).squeeze(-1).float() - b).square().mean()
    kinds.append(h.dtype.itemsize)
    opt.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(opt)
    scaler.update()
    scales.append(int(math.log2(scaler.get_scale())))
print(*kinds)
print(*scales)
print(all(bool(torch.isfinite(p).all()) for p in net.parameters()))
"""


def half(folder: Path, large: str, *options: object) -> tuple[list[int], list[int], bool, list[str]]:
    """Bytes of a number in each iteration, the scale after it as a power of two, whether all is finite, actions."""
    (folder / "train.py").write_text(HALF.replace("LARGE", large))
    done = whynan("--json", "r.json", "--no-case", "--no-fixes", "--no-rerun", "--why-budget", 0, *options, "train.py",
                  cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    kinds, scales, finite = done.stdout.splitlines()
    actions = json.loads((folder / "r.json").read_text())["actions"]
    return [*map(int, kinds.split())], [*map(int, scales.split())], finite == "True", [a["kind"] for a in actions]


def test_precision_is_back_afterwards(tmp_path: Path) -> None:
    kinds, scales, finite, actions = half(tmp_path, "1e5", "--guard", "precision=7")
    full = [i for i, size in enumerate(kinds) if size == 4]
    assert len(kinds) == 80 and finite and actions == ["precision"]
    assert full == list(range(full[0], 48)) and full[0] <= 40  # from the healthy state to seven beyond the failure
    assert all(abs(after - before) <= 1 for before, after in zip(scales, scales[1:], strict=False))


@pytest.mark.slow
def test_rollback_puts_the_scale_back(tmp_path: Path) -> None:
    _, bare, *_ = half(tmp_path, "1")
    kinds, scales, finite, actions = half(tmp_path, "math.nan", "--guard", "rollback=2")
    kept = len(kinds) - 39  # iterations before the state that was put back; 39 come after the failure
    assert finite and actions == ["rollback"] and 0 <= kept <= 40
    assert scales[:kept] == bare[:kept]
    assert abs(scales[kept] - (scales[kept - 1] if kept else 20)) <= 1


@pytest.mark.slow
def test_a_search_for_the_scale_is_no_failure(tmp_path: Path) -> None:
    bare = half(tmp_path, "1")
    assert half(tmp_path, "1", "--guard", "skip,rollback,precision") == bare and bare[1][0] > min(bare[1])
    skipped = half(tmp_path, "math.nan", "--guard", "skip")
    assert skipped[2] and skipped[3] == []  # GradScaler did it
