"""Does the watch make the host wait for the device? Counted in a profile, of steps in the middle of a training loop.

    python -m benchmarks.synchronisations [--steps 20] [--warm 100] [--programs mlp,conv] [--no-warnings]

With CUDA GPT-2 is profiled, eager and compiled, and what `watched` has more than `bare` must be nothing. On a CPU there
is nothing to wait for, and the numbers only show that the counting works: there the watch reads the loss with `item`.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Train
from benchmarks.programs import Program

WAITS = frozenset(
    "cudaStreamSynchronize cudaDeviceSynchronize cudaEventSynchronize cudaMemcpy cudaMalloc cudaFree cudaHostAlloc "
    "cudaFreeHost aten::_local_scalar_dense aten::item aten::is_nonzero aten::equal".split()
)
PAGEABLE = "Pageable"  # in the name of a copy: through memory that the host has to wait for


class Event(Protocol):
    """What is used of an event of the profiler."""

    name: str


def waits(events: Iterable[Event]) -> Counter[str]:
    """How often each thing happened that makes the host wait, or may do so."""
    return Counter(e.name for e in events if e.name in WAITS or e.name.startswith("Memcpy") and PAGEABLE in e.name)


def profiled(around: Callable[[], contextlib.AbstractContextManager[Train]], *, warm: int, steps: int) -> list[Any]:
    """Events of `steps` steps after `warm` others, in one loop; its beginning and its end are left out."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
    profiler = profile(activities=activities)
    done = 0

    def stepped(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        nonlocal done
        done += 1
        if done == warm:
            profiler.start()
        elif done == warm + steps:
            profiler.stop()

    with around() as train:
        handle = register_optimizer_step_post_hook(stepped)  # after those of the watch
        try:
            train(warm + steps + 1)
        finally:
            handle.remove()
    return list(profiler.events() or [])


def added(program: Program, *, warm: int, steps: int, **settings: Any) -> dict[str, int]:
    """What the watched program waits for, in so many steps, more often than the bare one."""
    ways = program.bare, lambda: program.watched(**settings)
    bare, watched = (waits(profiled(around, warm=warm, steps=steps)) for around in ways)
    return {name: watched[name] - bare[name] for name in watched | bare if watched[name] > bare[name]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm", type=int, default=100)
    parser.add_argument("--programs", default="", help="of the CPU, besides GPT-2 where there is CUDA")
    parser.add_argument("--no-warnings", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings: list[dict[str, Any]] = [{"name": name} for name in options.programs.split(",") if name]
    if torch.cuda.is_available():
        settings += [{"name": "gpt2"}, {"name": "gpt2", "compiled": True}]
    for setting in settings or [{"name": "mlp"}]:
        program = Program(**setting)
        found = added(program, warm=options.warm, steps=options.steps, warnings=not options.no_warnings)
        label = setting["name"] + (", compiled" if setting.get("compiled") else "")
        print(f"{label}: in {options.steps} steps the watch adds {found or 'nothing that waits'}", flush=True)


if __name__ == "__main__":
    main()
