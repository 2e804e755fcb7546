"""What watching costs, against the bare loop and against everything else that notices a non-finite value.

    python -m benchmarks [--rounds 9] [--seconds 2] [--programs mlp,conv,transformer] [--without-warnings]
                         [--no-peers] [--end-to-end ROUNDS] [--no-write]

Measures A B A B in one process, one thread, and writes the figures into docs/benchmarks.md and docs/overhead.svg.
"whynan" is what `whynan run` does by default, early warnings included. A block is one whole training loop, the snapshot
at its start and the look at its end included: in short blocks these weigh more than in a real run. The peers need
`pip install transformers torchlens`. With a CUDA device the GPU programs (GPT-2 124M in bfloat16, eager and compiled)
are measured as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from functools import partial

import torch

from benchmarks import page
from benchmarks.endtoend import end_to_end
from benchmarks.measure import Contender, Times, measure
from benchmarks.microscope import microscope
from benchmarks.peers import peers
from benchmarks.programs import Program

CPU = ("mlp", "conv", "transformer")
GPU = ({"name": "gpt2"}, {"name": "gpt2", "compiled": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a block of the bare loop")
    parser.add_argument("--programs", default=",".join(CPU))
    parser.add_argument("--without-warnings", action="store_true", help="measure whynan without early warnings as well")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--end-to-end", type=int, default=0, metavar="ROUNDS", help="compare whole processes as well")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = [name for name in options.programs.split(",") if name]
    settings = [{"name": name} for name in names]
    settings += GPU if torch.cuda.is_available() else ()
    results: dict[str, list[Times]] = {}
    notes: list[str] = []
    for setting in settings:
        label = setting["name"] + (", compiled" if setting.get("compiled") else "")
        results[label], notes = _program(Program(**setting), options)
        print(page.row(label, results[label]), flush=True)
    runs = [end_to_end(name, rounds=options.end_to_end, seconds=10.0) for name in names if options.end_to_end]
    scope = microscope("transformer", options.rounds)
    memory = {name: _memory(name) for name in CPU}
    text = page.section(results, scope, memory, notes, runs, rounds=options.rounds)
    print(text)
    if not options.no_write:
        page.write(text, page.plot(results))


def _program(program: Program, options: argparse.Namespace) -> tuple[list[Times], list[str]]:
    """Whynan in all rounds; the peers, which are far off, in a third of them."""
    bare = Contender("bare", program.bare)
    ours = [bare, Contender("whynan", program.watched)]
    if options.without_warnings:
        ours.append(Contender("whynan, no warnings", partial(program.watched, warnings=False)))
    times = measure(ours, rounds=options.rounds, seconds=options.seconds, before=program.rewind)
    if options.no_peers:
        return times, []
    others, notes = peers(program)
    rounds = max(3, options.rounds // 3)
    return times + measure([bare, *others], rounds=rounds, seconds=options.seconds, before=program.rewind)[1:], notes


def _memory(name: str) -> dict[str, float]:
    """In a process of its own: memory that an earlier program gave back would hide what this one takes."""
    command = [sys.executable, "-m", "benchmarks.memory", name]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
