"""The memory of a training loop: a ring of snapshots, and the tape of the items since the oldest of them.

How often a snapshot is taken follows from a budget: its cost may be at most `share` of the time since the one before
(CPU time of this thread, which a busy machine does not stretch). Iterations in between are re-executed from the tape.
Old snapshots are thinned: all of the last few, then one per power of two of age, because a diagnosis wants to go back
some tens of steps and memory is finite.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from whynan.watch.items import HeldItem
from whynan.watch.randomness import FetchHabit, RandomState
from whynan.watch.snapshot import Snapshot, Snapshotter

if TYPE_CHECKING:
    from whynan.watch.loops import LoopRun

RECENT = 4  # snapshots that are kept whatever their spacing
OLDEST = 40  # iterations; snapshots and items older than this are dropped


class Taped:
    """What one iteration was fed: its item, the random state after the fetch, and what `next()` gave in the body."""

    __slots__ = ("item", "random", "nexts", "indices", "steps", "held")

    def __init__(
        self,
        item: Any,
        random: RandomState,
        indices: list[int] | None = None,
        steps: int = 0,
        held: HeldItem | None = None,
    ) -> None:
        self.item = item
        self.held = held if held is not None else HeldItem(item)
        self.random = random
        self.indices = indices  # dataset indices of the batch, if a DataLoader drew it
        self.steps = steps  # optimizer steps completed before this iteration
        self.nexts: list[tuple[Any, BaseException | None, RandomState]] = []


class Recorder:
    """Records one loop run."""

    def __init__(
        self,
        snapshotter: Snapshotter,
        steps: Callable[[], int],
        *,
        share: float,
        memory: int,
        backwards: Callable[[], int],
        spend: Callable[[float], None],
        indices: Callable[[], list[int] | None],
    ) -> None:
        self.snapshotter = snapshotter
        self.steps = steps
        self.backwards = backwards
        self.share = share
        self.memory = memory
        self.spend = spend
        self.indices = indices
        self.habit = FetchHabit()
        self.clean_at = -1  # the last iteration after which parameters, state and buffers were looked at
        self.stepped_at: list[int] = []  # iterations that completed an optimizer step, the last few
        self.snapshots: list[Snapshot] = []
        self.tape: dict[int, Taped] = {}
        self.pending_error: BaseException | None = None
        self._current: Taped | None = None
        self._writes = False  # bodies of this loop write to their batch
        self._last = 0.0
        self._cost = 0.0
        self._costs: deque[float] = deque(maxlen=5)

    def begin(self, run: LoopRun, item: Any) -> None:
        """Called with every new item, before the body sees it."""
        now = time.thread_time()
        if not self.snapshots or now - self._last >= self._cost / self.share:
            self.habit.fetched()
            random = self.snapshot(run, item).random
        else:
            random = self.habit.fetched()
        self._writes = self._writes or self._current is not None and self._current.held.written
        self._current = self.tape[run.index] = Taped(item, random, self.indices(), self.steps(), self._hold(item))
        self.spend(time.thread_time() - now)

    def snapshot(self, run: LoopRun, item: Any, keep: bool = True) -> Snapshot:
        snap = self.snapshotter.take(run.frame, item, run.index, self.steps())
        snap.backwards = self.backwards()
        if keep:
            self._costs.append(snap.seconds)
            self._cost = min(self._costs)  # the first ones pay for page faults, a busy machine for its neighbours
            self._last = time.thread_time()
            self.snapshots.append(snap)
            self._thin(run.index)
        return snap

    def resume(self) -> None:
        """After a restoration: versions of tensors say nothing about what they hold any more."""
        self.snapshotter.store.forget()

    def stepped(self, index: int) -> None:
        self.stepped_at = [*self.stepped_at[-3:], index]

    def update_start(self, index: int) -> int:
        """The first iteration that contributes to the update of iteration `index` (gradient accumulation)."""
        return max((i for i in self.stepped_at if i < index), default=-1) + 1

    def at_or_before(self, index: int) -> Snapshot | None:
        """The latest snapshot of an iteration not after `index` from which the tape is complete."""
        best = None
        for snap in self.snapshots:
            if snap.index <= index and all(i in self.tape for i in range(snap.index, index + 1)):
                best = snap
        return best

    def _hold(self, item: Any) -> HeldItem:
        shared = set[int]().union(*(taped.held.containers for taped in self.tape.values()))
        return HeldItem(item, copy=self._writes, shared=shared)

    def taped(self, index: int) -> Taped | None:
        return self.tape.get(index)

    def tape_item(self, index: int, item: Any, random: RandomState) -> Taped:
        taped = self.tape[index] = Taped(item, random, held=self._hold(item))
        return taped

    def taped_next(self, args: tuple[Any, ...]) -> Any:
        taped = self._current
        try:
            value = next(*args)
        except BaseException as error:
            if taped is not None:
                taped.nexts.append((None, error, RandomState()))
            raise
        if taped is not None:
            taped.nexts.append((value, None, RandomState()))  # drawing the item may have drawn random numbers
        return value

    def _thin(self, index: int) -> None:
        keep: list[Snapshot] = []
        buckets: set[int] = set()
        used = 0
        for age, snap in enumerate(reversed(self.snapshots)):
            distance = index - snap.index
            bucket = distance.bit_length()
            if age >= RECENT and (bucket in buckets or distance > OLDEST):
                continue
            used += snap.nbytes
            if age >= 1 and used > self.memory:
                break
            buckets.add(bucket)
            keep.append(snap)
        self.snapshots = keep[::-1]
        oldest = self.snapshots[0].index
        for i in [i for i in self.tape if i < oldest]:
            del self.tape[i]
