"""Instructions per step, counted by valgrind: a measure that a busy machine does not disturb. Minutes a program.

    python -m benchmarks.instructions [--programs mlp] [--steps 100]

Two runs of different length, bare and under `whynan run`; the difference is the steps. Not a measure of time: valgrind
slows kernels down more than Python, so the watch, which paces itself by time, looks more rarely here than it would.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.endtoend import as_script
from benchmarks.programs import HERE

WAYS = {"bare": (), "whynan": ("-m", "whynan", "run", "--no-rerun", "--quiet")}
WARM = 30  # steps


def instructions(script: Path, way: tuple[str, ...], steps: int) -> int:
    """Of a whole process. Raises RuntimeError if it fails."""
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=counted"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [*command, sys.executable, *way, script.name, str(steps)],
        cwd=script.parent, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"^summary: (\d+)", (script.parent / "counted").read_text(), re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"{script.name} ended with {done.returncode} under valgrind: {done.stderr[-500:]}")
    return int(found.group(1))


def per_step(name: str, steps: int) -> dict[str, float]:
    """Instructions of a step in the steady state, bare and watched."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(as_script((HERE / f"{name}.py").read_text()))
        return {
            label: (instructions(script, way, WARM + steps) - instructions(script, way, WARM)) / steps
            for label, way in WAYS.items()
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="mlp")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        raise SystemExit("benchmarks.instructions needs valgrind, which is not on the PATH.")
    for name in options.programs.split(","):
        bare, watched = per_step(name, options.steps).values()
        print(f"{name}: {bare:.4g} instructions a step, {watched:.4g} watched, {watched / bare:.4f}", flush=True)


if __name__ == "__main__":
    main()
