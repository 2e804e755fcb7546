"""A B A B in one process: the same training loop under several contenders, in turns, ratios against the bare one.

CPU time of the process is what is counted, so that other jobs of the machine are not; on CUDA the wall clock after a
synchronisation. A block of steps gives one mean, which contains everything that happens only now and then (snapshots,
garbage collection); the figure of a contender is the median over its blocks, and the ratio of two contenders the
median over the rounds of the ratios within one round, since neighbours in time share the state of the machine.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

Train = Callable[[int], None]  # runs that many steps


@dataclass
class Contender:
    """`around` is active during its blocks and yields the function that trains."""

    name: str
    around: Callable[[], contextlib.AbstractContextManager[Train]]
    share: float = 1.0  # of the steps of a block, for what is very slow


@dataclass
class Times:
    """Seconds per step, one entry a round."""

    name: str
    blocks: list[float] = field(default_factory=list)
    against: Times | None = None  # the first contender, in the same rounds

    @property
    def median(self) -> float:
        return statistics.median(self.blocks)

    def ratio(self, bare: Times | None = None) -> float:
        bare = bare or self.against or self
        return statistics.median(mine / other for mine, other in zip(self.blocks, bare.blocks, strict=True))


def clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def measure(
    contenders: Sequence[Contender],
    *,
    rounds: int,
    seconds: float,
    steps: int | None = None,
    before: Callable[[], None] = lambda: None,
) -> list[Times]:
    """Times of each contender, in the order given. A block has `steps`, or as many as the first does in `seconds`.

    `before` is called before each block.
    """
    with contenders[0].around() as train:
        train(5)
        begun = clock()
        train(10)
        steps = steps or max(10, int(seconds / ((clock() - begun) / 10)))
    times = [Times(contender.name) for contender in contenders]
    for each in times:
        each.against = times[0]
    for turn in range(rounds):
        order = range(len(contenders)) if turn % 2 == 0 else reversed(range(len(contenders)))
        for i in order:
            count = max(min(3, steps), int(steps * contenders[i].share))
            before()
            with contenders[i].around() as train:
                train(max(min(3, steps), count // 10))
                begun = clock()
                train(count)
                times[i].blocks.append((clock() - begun) / count)
    return times
