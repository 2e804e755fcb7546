"""A snapshot must not be what ends a run for lack of memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from whynan.watch import room
from whynan.watch.room import SMALL, NoRoom, place

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
GIB = 1 << 30


def test_on_the_device_if_two_copies_fit_into_half_of_what_is_free_else_on_the_host() -> None:
    free = {GPU: 8 * GIB, CPU: 40 * GIB}.__getitem__
    assert place(GPU, 2 * GIB, free) == GPU
    assert place(GPU, 3 * GIB, free) == CPU
    with pytest.raises(NoRoom, match="a snapshot of 11264 MiB on cuda:0 needs more memory than is free"):
        place(GPU, 11 * GIB, free)


def test_small_copies_ask_nobody() -> None:
    def free(device: torch.device) -> float:
        raise AssertionError

    assert place(GPU, SMALL, free) == GPU


def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    assert room._left_to_container(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert room._left_to_container(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("5000\n")
    assert room._left_to_container(tmp_path) == 4000
    assert 0 < room.free_bytes(CPU) < float("inf")


DRIVER = """
import sys
from whynan.watch import tensorstore
from whynan.watch.room import NoRoom
calls, fit = [], int(sys.argv[1])
def place(device, nbytes):
    calls.append(nbytes)
    if len(calls) > fit:
        raise NoRoom(nbytes, device)
    return device
tensorstore.place = place
from whynan.cli.main import main
sys.exit(main(["run", "--json", "r.json", "--no-case", "--no-fixes", "--why-budget", "0", "train.py"]))
"""

SCRIPT = """
import torch
torch.manual_seed(0)
weight = torch.nn.Parameter(torch.ones(4))
optimizer = torch.optim.SGD([weight], lr=0.1)
for step, batch in enumerate(torch.rand(12, 4) + 0.1):
    if step == 7:
        batch[2] = 0.0
    loss = -(batch * weight).log().mean()  # birth
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.parametrize("fit", [0, 1])
def test_without_room_the_program_is_run_again(fit: int, tmp_path: Path) -> None:
    """`fit` = 1: the snapshot is there, but the state cannot be kept once more when the failure shows."""
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "driver.py").write_text(DRIVER)
    done = subprocess.run(
        [sys.executable, "driver.py", str(fit)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    line = next(i for i, text in enumerate(SCRIPT.splitlines(), 1) if "# birth" in text)
    assert (report["birth"]["line"], report["birth"]["op"], report["birth"]["step"]) == (line, "aten::log", 7)
    assert any("could not be executed again in its loop: a snapshot of" in note for note in report["notes"])
    assert ("needs more memory than is free: a failure can only be" in done.stderr) == (fit == 0)
