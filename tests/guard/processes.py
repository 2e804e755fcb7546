"""Two ranks of one program, started as torchrun would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 100  # seconds; a hang is a failure


@dataclass(frozen=True)
class Ended:
    """How one rank ended."""

    status: int
    out: str
    err: str


def spawn(source: str, folder: Path, run: list[str] | None = None, ranks: int = 2) -> list[Ended]:
    """`_spawn`, again if gloo aborted when it was taken down, as it does in bare programs too now and then."""
    for _ in range(4):
        ended = _spawn(source, folder, run, ranks)
        if not any(e.status == -6 and e.err.endswith("terminate called without an active exception\n") for e in ended):
            break
    return ended


def _spawn(source: str, folder: Path, run: list[str] | None = None, ranks: int = 2) -> list[Ended]:
    """`source` as a script on every rank, under python or (`run`: its options) under `whynan run`."""
    script = folder / "train.py"
    script.write_text(source)
    under = [] if run is None else ["-m", "whynan", "run", *run]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = []
    for rank in range(ranks):
        environment = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks),
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}  # fmt: skip
        command = [sys.executable, *under, str(script)]
        started.append(subprocess.Popen(command, env=environment, cwd=folder, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE))  # fmt: skip
    ended = []
    try:
        for process in started:
            out, err = process.communicate(timeout=PATIENCE)
            ended.append(Ended(process.returncode, out, err))
    finally:
        for process in started:
            process.kill()
    return ended
