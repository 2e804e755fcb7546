"""Where the copies of a snapshot can lie: on their device, in the memory of the host, or nowhere.

A snapshot must never be what ends a run for lack of memory. An investigation copies the state once more, so twice the
copies have to fit into half of what is free at that moment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch

SMALL = 32 << 20  # bytes that nobody asks about
COPIES = 2
SHARE = 0.5  # of the free memory


class NoRoom(Exception):
    """The copies fit nowhere."""

    def __init__(self, nbytes: int, device: torch.device) -> None:
        super().__init__(f"a snapshot of {nbytes >> 20} MiB on {device} needs more memory than is free")


def place(device: torch.device, nbytes: int, free: Callable[[torch.device], float] | None = None) -> torch.device:
    """Where copies of `nbytes` that lie on `device` should be put: there or on the CPU. Raises NoRoom."""
    free = free or free_bytes
    if nbytes <= SMALL:
        return device
    for where in (device, torch.device("cpu")):
        if COPIES * nbytes <= SHARE * free(where):
            return where
    raise NoRoom(nbytes, device)


def free_bytes(device: torch.device) -> float:
    """Bytes that can still be had; infinite where nobody can tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_available(), _left_to_container()) if device.type == "cpu" else float("inf")


def _available() -> float:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    return float("inf")


def _left_to_container(root: Path = Path("/sys/fs/cgroup")) -> float:
    """What a memory limit of the container leaves (cgroup v2, then v1)."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            return int((root / limit).read_text()) - int((root / used).read_text())
    return float("inf")
