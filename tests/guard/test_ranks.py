"""Two processes: one sees a bad batch, both hold back."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

RANK = """
import os, sys, torch, torch.distributed as dist
from torch import nn
import whynan
rank = int(os.environ["RANK"])
dist.init_process_group("gloo")
torch.manual_seed(0)
net = nn.Linear(3, 1)
optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
guard = whynan.guard(optimizer, skip=True, clip="norm:100")
for step in range(5):
    x = torch.ones(4, 3) * (1 + step)
    if rank == 1 and step == 2:
        x[0, 0] = float("nan")  # not averaged: each rank only knows of its own
    optimizer.zero_grad()
    net(x).square().mean().backward()
    optimizer.step()
print(rank, [a.step for a in guard.actions], guard.actions[0].message, float(net.weight.sum()))
dist.destroy_process_group()
"""


def test_the_same_decision_on_every_rank() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = []
    for rank in range(2):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                       "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}  # fmt: skip
        command = [sys.executable, "-c", RANK]
        ranks.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    told = [rank.communicate(timeout=120)[0].strip() for rank in ranks]
    assert "[2]" in told[0] and "another rank" in told[0]
    assert "[2]" in told[1] and "is nan" in told[1]
    assert told[0].rpartition(" ")[2] == told[1].rpartition(" ")[2]
