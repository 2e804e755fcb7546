"""What watching costs: the same training loop bare and under whynan, interleaved A B A B in one process.

    python benchmarks/overhead.py [--rounds 7] [--steps 60]

Prints one line per model: CPU milliseconds per step (median) bare and watched, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import builtins
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from whynan.watch.source import NAMES, SiteTable, rewrite

LOOP = """
def train(batches, step):
    for batch in batches:
        step(batch)
"""


def mlp() -> tuple[nn.Module, Callable[[], torch.Tensor]]:
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    return model, lambda: torch.randn(32, 64)


def conv() -> tuple[nn.Module, Callable[[], torch.Tensor]]:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    return model, lambda: torch.randn(16, 3, 32, 32)


def transformer() -> tuple[nn.Module, Callable[[], torch.Tensor]]:
    layer = nn.TransformerEncoderLayer(128, 4, 256, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 3), nn.Linear(128, 64))
    return model, lambda: torch.randn(8, 48, 128)


def measure(
    make: Callable[[], tuple[nn.Module, Callable[[], torch.Tensor]]], rounds: int, steps: int
) -> tuple[float, float]:
    torch.manual_seed(0)
    model, draw = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = [draw() for _ in range(8)]
    times: dict[bool, list[float]] = {False: [], True: []}

    def step(batch: torch.Tensor) -> None:
        start = time.process_time()
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
        times[watching].append(time.process_time() - start)

    for watching in [False, True] * rounds:
        loop, remove = _watched() if watching else _bare()
        begun = time.process_time()
        loop(_cycle(data, steps), step)
        total = (time.process_time() - begun) / steps
        times[watching] = times[watching][:-steps] + [total]
        remove()
    return statistics.median(times[False][1:]), statistics.median(times[True][1:])


def _cycle(data: list[torch.Tensor], steps: int) -> Iterator[torch.Tensor]:
    for i in range(steps):
        yield data[i % len(data)]


def _bare() -> tuple[Callable[..., None], Callable[[], None]]:
    names: dict[str, Callable[..., None]] = {}
    exec(LOOP, names)
    return names["train"], lambda: None


def _watched() -> tuple[Callable[..., None], Callable[[], None]]:
    from whynan.watch.watcher import Watcher

    sites = SiteTable()
    watcher = Watcher(sites, lambda path: path == "loop.py")
    watcher.loops.optimizers_exist = True
    loops = watcher.loops
    functions = (loops.for_, loops.while_, loops.done, loops.caught, loops.next_, loops.leave)
    for name, function in zip(NAMES, functions, strict=True):
        setattr(builtins, name, function)
    names: dict[str, Callable[..., None]] = {}
    exec(rewrite(LOOP, "loop.py", sites), names)
    return names["train"], watcher.remove


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for make in (mlp, conv, transformer):
        bare, watched = measure(make, options.rounds, options.steps)
        print(
            f"{make.__name__:<12} bare {bare * 1e3:7.2f} ms  "
            f"watched {watched * 1e3:7.2f} ms  ratio {watched / bare:.3f}"
        )


if __name__ == "__main__":
    main()
