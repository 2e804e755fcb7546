"""What watching costs, against the bare loop and against everything else that notices a non-finite value.

    python -m benchmarks [--rounds 9] [--seconds 0.5] [--programs mlp,conv,transformer] [--no-peers] [--no-write]

Measures A B A B in one process, one thread, and writes the figures into docs/benchmarks.md and docs/overhead.svg.
With a CUDA device the GPU programs (GPT-2 124M in bfloat16, eager and compiled) are measured as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import torch

from benchmarks import page
from benchmarks.measure import Contender, Times, measure
from benchmarks.microscope import microscope
from benchmarks.peers import peers
from benchmarks.programs import Program

CPU = ("mlp", "conv", "transformer")
GPU = ({"name": "gpt2"}, {"name": "gpt2", "compiled": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a block of the bare loop")
    parser.add_argument("--programs", default=",".join(CPU))
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = [{"name": name} for name in options.programs.split(",") if name]
    settings += GPU if torch.cuda.is_available() else ()
    results: dict[str, list[Times]] = {}
    notes: list[str] = []
    for setting in settings:
        program = Program(**setting)
        others, notes = ([], []) if options.no_peers else peers(program)
        contenders = [Contender("bare", program.bare), Contender("whynan", program.watched), *others]
        label = setting["name"] + (", compiled" if setting.get("compiled") else "")
        results[label] = measure(contenders, rounds=options.rounds, seconds=options.seconds)
        print(page.row(label, results[label]), flush=True)
    scope = microscope("transformer", options.rounds)
    memory = {name: _memory(name) for name in CPU}
    text = page.section(results, scope, memory, notes, rounds=options.rounds)
    print(text)
    if not options.no_write:
        page.write(text, page.plot(results))


def _memory(name: str) -> dict[str, float]:
    """In a process of its own: memory that an earlier program gave back would hide what this one takes."""
    command = [sys.executable, "-m", "benchmarks.memory", name]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
