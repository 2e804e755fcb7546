"""Memory of the process: what the watch needs besides snapshots, and whether anything grows."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass

from benchmarks.programs import Program


@dataclass
class Memory:
    """MiB, resident."""

    bare: float
    watched: float  # without snapshots
    settled: float  # the same after as many steps again, in a second loop
    later: float  # and again

    @property
    def share(self) -> float:
        return max(0.0, self.watched - self.bare) / self.bare

    @property
    def growth(self) -> float:
        return self.later - self.settled


def memory(name: str, steps: int) -> Memory:
    """Train bare, then watched, then on. A snapshot is taken only at the start of the loop, and left out."""
    program = Program(name)
    program.train(steps)
    bare = _resident()
    with program.watched(share=1e-9) as train:
        store = program.watcher.snapshotter.store  # type: ignore[union-attr]
        train(steps)
        watched = _resident() - store.nbytes / (1 << 20)
        found = []
        for _ in range(2):
            train(steps)
            found.append(_resident() - store.nbytes / (1 << 20))
    return Memory(bare, watched, *found)


def _resident() -> float:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


STEPS = {"mlp": 2000, "conv": 300, "transformer": 60}

if __name__ == "__main__":
    import json
    import sys

    import torch

    torch.set_num_threads(1)
    found = memory(sys.argv[1], STEPS[sys.argv[1]])
    print(json.dumps({"bare": found.bare, "share": found.share, "growth": found.growth}))
