"""Memory of the process: what the watch needs besides snapshots, and whether anything grows."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from dataclasses import dataclass, field

from benchmarks.programs import Program


@dataclass
class Memory:
    """MiB. `resident` counts everything; `own` leaves out pages of files, which are code that was executed for the
    first time (kernels of torch, mostly) and lie in the page cache, shared by all processes."""

    resident: float
    own: float


@dataclass
class Found:
    """Memory of the bare loop, and watched, without snapshots, after the first loop and after two more."""

    bare: Memory
    watched: list[Memory] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Memory of its own that the watch takes, of the resident memory of the bare process."""
        return max(0.0, self.watched[0].own - self.bare.own) / self.bare.resident

    @property
    def resident_share(self) -> float:
        return max(0.0, self.watched[0].resident - self.bare.resident) / self.bare.resident

    @property
    def growth(self) -> float:
        """MiB that the last loop added."""
        return self.watched[-1].own - self.watched[-2].own


def memory(name: str, steps: int) -> Found:
    """Train bare, then watched, three loops of `steps`, each with one snapshot, at its start, which is dropped."""
    program = Program(name)
    program.train(steps)
    found = Found(_now())
    with program.watched(snapshot_share=1e-9) as train:
        (watch,) = program.watches.values()
        assert watch.watcher is not None
        for _ in range(3):
            train(steps)
            watch.watcher.snapshotter.store.drop()
            found.watched.append(_now())
    return found


def _now() -> Memory:
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # what the C allocator keeps for later varies by tens of MiB
        ctypes.CDLL(None).malloc_trim(0)
    sizes = {}
    with open("/proc/self/smaps_rollup") as file:
        for line in file:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                sizes[words[0]] = int(words[1]) / 1024
    return Memory(sizes["Rss:"], sizes["Anonymous:"])


STEPS = {"mlp": 2000, "conv": 300, "transformer": 60}

if __name__ == "__main__":
    import json
    import sys

    import torch

    torch.set_num_threads(1)
    found = memory(sys.argv[1], STEPS[sys.argv[1]])
    print(json.dumps({"bare": found.bare.resident, "share": found.share, "resident_share": found.resident_share,
                      "growth": found.growth}))  # fmt: skip
