"""`whynan run` on several ranks: one diagnosis, one decision, and never a hang."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from guard.processes import Ended, spawn

HEAD = """
import os, torch, torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
generator = torch.Generator().manual_seed(rank)
x, y = torch.rand(320, 3, generator=generator) + 0.5, torch.rand(320, generator=generator)
if rank == 1:
    x[8 * 20 + 3, 1] = 0.0
def net():
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
def loss_of(model, i):
    a, b = x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]
    return (model(torch.log(a)).squeeze(-1) - b).square().mean()
def sum_of(model):
    parts = [getattr(p.detach(), "to_local", p.detach)().double().sum() for p in model.parameters()]
    total = torch.stack(parts).sum()
    dist.all_reduce(total)
    return total.item()
"""
DDP_LOOP = """
model = DDP(net())
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
seen = []
for i in range(40):
    seen.append(i)
    optimizer.zero_grad()
    loss = loss_of(model, i)
    BEFORE_BACKWARD
    loss.backward()
    optimizer.step()
print("ddp", len(seen), 20 in seen, sum_of(model))
""".replace("    BEFORE_BACKWARD\n", "")
FSDP_LOOP = """
from torch.distributed.fsdp import fully_shard
sharded = net()
fully_shard(sharded[0]), fully_shard(sharded[2]), fully_shard(sharded)
optimizer = torch.optim.AdamW(sharded.parameters(), lr=1e-2)
for j in range(40):
    optimizer.zero_grad()
    loss_of(sharded, j).backward()
    optimizer.step()
print("fsdp", sum_of(sharded))
"""
END = "\ndist.destroy_process_group()\n"
QUICK = ["--no-case", "--why-budget", "0", "--json", "r.json"]


def run(source: str, folder: Path, *options: str) -> tuple[list[Ended], dict[str, object]]:
    ranks = spawn(HEAD + source + END, folder, [*QUICK, *options])
    report = folder / "r.json"
    return ranks, json.loads(report.read_text()) if report.exists() else {}


def test_one_rank_explains(tmp_path: Path) -> None:
    """The ranks repeat the failing iteration together: the numbers come out as they were, averages and all."""
    (first, second), report = run(DDP_LOOP, tmp_path)
    assert (first.status, second.status) == (3, 3)
    assert first.out == second.out == first.err == ""
    assert "rank 1 of 2 saw it first" in second.err and "aten::log" in second.err
    birth, told = report["birth"], report["run"]
    assert isinstance(birth, dict) and isinstance(told, dict)
    assert (birth["op"], birth["iteration"], report["reproduced"]) == ("aten::log", 20, "bitwise")
    assert (told["rank"], told["world_size"]) == (1, 2)


def test_all_ranks_roll_back(tmp_path: Path) -> None:
    (first, second), report = run(DDP_LOOP + FSDP_LOOP, tmp_path, "--guard", "rollback=3")
    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert first.out == second.out and "nan" not in first.out
    _, count, failing, _ = first.out.splitlines()[0].split()
    assert int(count) < 40 and failing == "False"  # batch 20 and those before it were dropped, on both
    actions = report["actions"]
    assert isinstance(actions, list) and [a["kind"] for a in actions] == ["rollback"] * 2
    assert [a["step"] for a in actions] == [20, int(count) + 20]
    assert first.err.count("rolled") + second.err.count("rolled") == 2  # each said by one rank


@pytest.mark.slow
def test_skip_clip_and_lower_rate(tmp_path: Path) -> None:
    for words, kinds in (("skip,clip=norm:1", ["skip"] * 2), ("rollback=3,rate=0.5", ["rollback"] * 2)):
        (first, second), report = run(DDP_LOOP + FSDP_LOOP, tmp_path, "--guard", words)
        assert (first.status, second.status) == (0, 0), first.err + second.err
        assert first.out == second.out and "nan" not in first.out
        actions = report["actions"]
        assert isinstance(actions, list) and [a["kind"] for a in actions] == kinds


@pytest.mark.slow
def test_a_healthy_run_is_what_it_is_without(tmp_path: Path) -> None:
    source = HEAD.replace("if rank == 1:", "if False:") + DDP_LOOP + FSDP_LOOP + END
    bare = [ended.out for ended in spawn(source, tmp_path)]
    watched = spawn(source, tmp_path, [*QUICK, "--guard", "skip,rollback,precision"])
    assert [ended.out for ended in watched] == bare and all(ended.status == 0 for ended in watched)


@pytest.mark.slow
def test_the_rank_whose_own_gradients_were_bad(tmp_path: Path) -> None:
    """After averaging they are bad on every rank."""
    bad = "torch.sqrt((model.module[0].weight[0, 0] * 0).abs()) if rank and i == 15 else 0"
    source = DDP_LOOP.replace("loss_of(model, i)", f"loss_of(model, 5) + ({bad})")
    _, report = run(source, tmp_path)
    birth, told = report["birth"], report["run"]
    assert isinstance(birth, dict) and isinstance(told, dict)
    assert (told["rank"], birth["phase"], birth["iteration"]) == (1, "backward", 15)
    assert "torch.sqrt" in birth["source"]


@pytest.mark.slow
def test_a_rank_that_leaves_its_iteration(tmp_path: Path) -> None:
    """The other one waits for it in a collective: nothing can be repeated, and nothing hangs."""
    check = "    loss = loss_of(model, i)\n    if not torch.isfinite(loss): raise ValueError('loss is nan')\n"
    (first, second), report = run(DDP_LOOP.replace("    loss = loss_of(model, i)\n", check), tmp_path)
    assert second.status == 3 and first.status in (1, 3)
    assert "born" not in first.err  # one diagnosis
    assert report["verdict"] == "nonfinite" and "other ranks did not come" in str(report["notes"])


@pytest.mark.slow
def test_torchrun(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(HEAD + DDP_LOOP + END)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "whynan", "run", "train.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr.count("born at step 20") == 1 and "rank 1 of 2 saw it first" in done.stderr
    (case,) = (tmp_path / "whynan-cases").iterdir()
    assert json.loads((case / "report.json").read_text())["causes"][0]["class"] == "log-of-zero"
