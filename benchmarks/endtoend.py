"""`whynan run train.py` against `python train.py`: whole processes, in turns. Do the figures of one process hold?

The script is a program of this folder with a clock in its loop: the CPU time (on CUDA the wall clock) of a step over
the second half of the run, when all is warm and paced.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Times
from benchmarks.programs import HERE

LOOP = "    for i in range(steps):\n"
CLOCK = """
import json, sys, time

def clock():
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()

"""
HALF = "        if i == steps // 2:\n            begun = clock()\n"
MAIN = """    print(json.dumps({"step": (clock() - begun) / (steps - steps // 2), "loss": loss.item()}))

torch.set_num_threads(1)
if __name__ == "__main__":
    train(*build(), int(sys.argv[1]))
"""
SHORT = 40  # steps, to learn how long one takes


@dataclass
class Runs:
    """Bare and watched runs of one program. `whole`: CPU seconds of the processes, one entry a run."""

    name: str
    steps: int
    bare: Times
    watched: Times
    whole: tuple[list[float], list[float]]

    @property
    def ratio(self) -> float:
        return self.watched.ratio(self.bare)

    def __str__(self) -> str:
        added = statistics.median(b - a for a, b in zip(*self.whole, strict=True))
        return (
            f"{self.name}: {self.steps} steps of {self.bare.median * 1e3:.2f} ms, second half {self.ratio:.3f}, "
            f"whole process {added:+.1f} s"
        )


def end_to_end(name: str, *, rounds: int, seconds: float) -> Runs:
    """Runs of about `seconds` each. Raises RuntimeError if a run fails or does not compute what the bare one does."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(as_script((HERE / f"{name}.py").read_text()))
        steps = max(SHORT, int(seconds / _run(script, SHORT, ())[0]["step"]))
        runs = Runs(name, steps, Times("bare"), Times("whynan"), ([], []))
        for turn in range(rounds):
            losses = set()
            for watched in (False, True) if turn % 2 == 0 else (True, False):
                said, cpu = _run(script, steps, ("-m", "whynan", "run") if watched else ())
                (runs.watched if watched else runs.bare).blocks.append(said["step"])
                runs.whole[watched].append(cpu)
                losses.add(said["loss"])
            if len(losses) > 1:
                raise RuntimeError(f"{name}: the watched run ended at another loss: {losses}")
    return runs


def as_script(program: str) -> str:
    """A program of this folder, with its clock and its end. Raises ValueError if it has not the one loop it should."""
    if program.count(LOOP) != 1:
        raise ValueError(f"a program has one loop that begins with {LOOP!r}")
    head, tail = program.split(LOOP)
    docstring, rest = head.split('"""\n', 1)
    return f'{docstring}"""\n{CLOCK}{rest}{LOOP}{HALF}{tail}{MAIN}'


def _run(script: Path, steps: int, way: Sequence[str]) -> tuple[dict[str, float], float]:
    """What the script said about itself, and the CPU seconds of its process."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WHYNAN_")} | {"OMP_NUM_THREADS": "1"}
    before = os.times()
    done = subprocess.run(
        [sys.executable, *way, script.name, str(steps)],
        cwd=script.parent, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    after = os.times()
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(way)} {script.name} ended with {done.returncode}: {done.stderr[-500:]}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return json.loads(done.stdout.splitlines()[-1]), cpu
