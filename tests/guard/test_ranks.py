"""Several processes that are not watched: one sees a bad batch, all hold back, and say the same."""

from __future__ import annotations

from pathlib import Path

from guard.processes import spawn

SKIP = """
import os, torch, torch.distributed as dist
from torch import nn
import whynan
rank = int(os.environ["RANK"])
dist.init_process_group("gloo")
torch.manual_seed(0)
net = nn.Linear(3, 1)
optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
guard = whynan.guard(optimizer, skip=True, clip="norm:100", wait=WAIT)
for step in range(5 if rank else LONGER):
    x = torch.ones(4, 3) * (1 + step)
    if rank == 1 and step == 2:
        x[0, 0] = float("nan")  # not averaged: each rank only knows of its own
    optimizer.zero_grad()
    net(x).square().mean().backward()
    optimizer.step()
print([a.step for a in guard.actions], guard.actions[0].message, net.weight.sum().item())
dist.destroy_process_group()
"""


def test_the_same_decision_on_every_rank(tmp_path: Path) -> None:
    first, second = spawn(SKIP.replace("WAIT", "60").replace("LONGER", "5"), tmp_path)
    assert first.status == second.status == 0
    assert first.out == second.out  # the same steps, words and weights
    assert first.out.startswith("[2] update skipped: gradient of parameter 0 of group 0, shape 1x3 is nan on rank 1")
    assert "update skipped" not in first.err and "update skipped" in second.err  # said once


def test_a_rank_with_fewer_steps_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    first, _ = spawn(SKIP.replace("WAIT", "2").replace("LONGER", "6"), tmp_path)
    assert first.status == 1
    assert "UsageError: guard: rank 0 waited at optimizer step 5 for the other ranks" in first.err
    assert "the same optimizer steps" in first.err and "wait=SECONDS" in first.err
