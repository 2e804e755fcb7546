"""The memory of a training loop: a ring of snapshots, and the tape of the items since the oldest of them.

How often a snapshot is taken follows from a budget: its cost may be at most `share` of the time since the one before
(CPU time of this thread, which a busy machine does not stretch). Iterations in between are re-executed from the tape.
Only a state that was just looked at is worth a snapshot: `ripe` says at the end of an iteration that one is due.
Old snapshots are thinned: all of the last few, then one per power of two of age, because a diagnosis wants to go back
some tens of steps and memory is finite. Items on the tape count against the same memory.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from whynan.watch.randomness import UNTOUCHED, FetchHabit, RandomState
from whynan.watch.room import NoRoom
from whynan.watch.snapshot import Snapshot, Snapshotter
from whynan.watch.tape import EMPTY, Tape, Taped

if TYPE_CHECKING:
    from whynan.watch.loops import LoopRun

RECENT = 4  # snapshots that are kept whatever their spacing
LOG = logging.getLogger("whynan")
OLDEST = 40  # iterations; snapshots and items older than this are dropped
AGAIN = 500  # iterations until a snapshot is tried again that did not fit into the memory
SAID = 3  # snapshots after which the log says how large they are
STEPPED = 512  # iterations with an optimizer step that are remembered


class Clock(Protocol):
    """Whoever counts optimizer steps and calls of backward."""

    steps: int
    backwards: int


class Recorder:
    """Records one loop run."""

    def __init__(
        self,
        snapshotter: Snapshotter,
        clock: Clock,
        *,
        share: float,
        memory: int,
        spend: Callable[[float], None],
        indices: Callable[[], list[int] | None],
        habits: tuple[FetchHabit, FetchHabit],
        on_no_room: Callable[[NoRoom], None] = lambda error: None,
    ) -> None:
        """`habits`: of the loop's own items, and of `next()` in its body."""
        self.on_no_room = on_no_room
        self._blind = False  # no snapshot could be taken, so there is nothing to tape for
        self.snapshotter = snapshotter
        self.clock = clock
        self.share = share
        self.memory = memory
        self.spend = spend
        self.indices = indices
        self.habit, self._next_habit = habits
        self.clean_at = -1  # the last iteration after which parameters, state and buffers were looked at
        self.stepped_at: list[int] = []  # iterations that completed an optimizer step, in order
        self.snapshots: list[Snapshot] = []
        self.tape = Tape()
        self.pending_error: BaseException | None = None
        self._current: Taped | None = None  # of the iteration under way, unless it was only counted
        self._index = -1
        self._proven: set[int] = set()  # iterations whose snapshots were healthy when the loop went back
        self._playback: list[Any] = []  # what `next()` gave when this iteration was executed before
        self._writes = False  # bodies of this loop write to their batch
        self._fed_at: dict[int, int] = {}  # bytes on the tape so far, when each snapshot was taken
        self._ripe = True
        self.left = 1  # iterations until the clock is read; the loop counts them down too
        self._spacing = 1  # iterations between the last two snapshots
        self._last = 0.0
        self._cost = 0.0
        self._look = 0.0  # seconds of the look before the latest snapshot
        self._costs: deque[float] = deque(maxlen=5)

    def counted(self, index: int, item: Any) -> bool:
        """`begin` for an item of a loop that only counts: most launch-bound ones. False: `begin` has to be called."""
        if self._ripe or self._blind or (type(item) is not int and item is not EMPTY):
            return False
        self.tape.noted[index] = item, self.clock.steps
        self._index, self._current = index, None
        return True

    def begin(self, run: LoopRun, item: Any, again: Taped | None = None) -> None:
        """Called with every new item, before the body sees it; with a taped one (`again`) when the loop goes on."""
        random = UNTOUCHED if run.inert else self.habit.fetched()
        if self._ripe:
            now = time.thread_time()
            try:
                random = self.snapshot(run, item).random
            except NoRoom as error:
                self._leave_out(error)
            self.spend(time.thread_time() - now)
        if self._blind:
            return
        self._writes = self._writes or self._current is not None and self._current.held.written
        self._current = self._feed(run.index, item, random, None if run.inert else self.indices())
        self._playback = []
        if again is not None:
            self._current.random, self._current.indices = again.random, again.indices
            self._playback = list(again.nexts)

    def _leave_out(self, error: NoRoom) -> None:
        """Snapshots are tried again later: memory may be free then."""
        self.snapshots.clear()
        self.tape = Tape()
        self._blind, self._ripe, self.left, self._current = True, False, AGAIN, None
        self.on_no_room(error)

    def _feed(self, index: int, item: Any, random: RandomState, indices: list[int] | None) -> Taped:
        return self.tape.put(index, item, random, indices, self.clock.steps, self._writes)

    def ripe(self, index: int) -> bool:
        """At the end of iteration `index`: is a snapshot due at the start of the next?"""
        self.left -= 1
        if self.left > 0 or self._ripe:
            return self._ripe
        if not self.snapshots:
            self._ripe = True
            return True
        newest = self.snapshots[-1].index
        count = max(1, index + 1 - newest)
        elapsed = time.thread_time() - self._last
        needed = self._cost / max(self.share, 1e-9)
        held = self.tape.fed - self._fed_at.get(newest, 0)  # a long tape of large items is no cheaper than a snapshot
        if elapsed >= needed or held > self.memory / 2:
            self._ripe = True
        else:
            self.left = max(1, min(count, math.ceil((needed - elapsed) * count / max(elapsed, 1e-9))))
        return self._ripe

    def looked(self, seconds: float) -> None:
        """The look that the snapshot to come asked for took this long."""
        self._look = seconds

    def snapshot(self, run: LoopRun, item: Any, keep: bool = True) -> Snapshot:
        if keep and self.snapshots and 2 * self.snapshots[-1].nbytes > self.memory:
            self.snapshots.clear()  # two do not fit: the new one can have the memory of the old one
        snap = self.snapshotter.take(run.frame, item, run.index, self.clock.steps)
        snap.backwards = self.clock.backwards
        if keep:
            self._blind = False
            self._costs.append(snap.seconds + self._look)
            self._cost = sorted(self._costs)[len(self._costs) // 2]  # the first ones pay for page faults
            self._last = time.thread_time()
            if self.snapshots:
                self._spacing = max(1, run.index - self.snapshots[-1].index)
            self._ripe, self.left, self._look = False, max(1, self._spacing // 2), 0.0
            self._fed_at[run.index] = self.tape.fed
            self.snapshots.append(snap)
            self._thin(run.index)
            if len(self._costs) == SAID:
                size, most = snap.nbytes / (1 << 20), self.memory / (1 << 20)
                LOG.info("whynan: snapshots of %.1f MiB, now about every %d iterations (%.1f %% of the time); at most "
                         "%.0f MiB, or one of them", size, self._spacing, 100 * self.share, most)  # fmt: skip
        return snap

    def resume(self) -> None:
        """After a restoration: versions of tensors say nothing about what they hold any more."""
        self.snapshotter.store.forget()

    def rewound(self, snapshot: Snapshot, drop: Iterable[int] = ()) -> None:
        """The loop goes on from `snapshot`: what came later did not happen, only its items are kept, but for `drop`."""
        for index in drop:
            if index in self.tape:
                self.tape.drop(index)
        self._proven = {s.index for s in self.snapshots if self.is_healthy(s) and s.index <= snapshot.index}
        self.snapshots = [s for s in self.snapshots if s.index < snapshot.index or s is snapshot]
        self.stepped_at = [i for i in self.stepped_at if i < snapshot.index]
        self.clean_at = min(self.clean_at, snapshot.index - 1)
        self.pending_error = None
        self.resume()

    def ripen(self) -> None:
        """The next iteration begins with a snapshot."""
        self._ripe = True

    def is_healthy(self, snapshot: Snapshot) -> bool:
        """Was the update after it looked at, and found finite? Only then it is worth going back to."""
        return snapshot.index <= self.clean_at or snapshot.index in self._proven

    def healthy(self, before: int) -> list[Snapshot]:
        """The snapshots of iterations before `before` that are worth going back to, oldest first."""
        return [s for s in self.snapshots if s.index < before and self.is_healthy(s)]

    def stepped(self, index: int) -> None:
        known = self.stepped_at
        if not known or known[-1] != index:
            known.append(index)
            if len(known) > 2 * STEPPED:
                del known[:STEPPED]

    def update_start(self, index: int) -> int:
        """The first iteration that contributes to the update of iteration `index` (gradient accumulation)."""
        return max((i for i in self.stepped_at if i < index), default=-1) + 1

    def at_or_before(self, index: int) -> Snapshot | None:
        """The latest snapshot of an iteration not after `index` from which the tape is complete."""
        best = None
        for snap in self.snapshots:
            if snap.index <= index and self.tape.covers(snap.index, index):
                best = snap
        return best

    def earliest(self, index: int) -> Snapshot | None:
        """The oldest snapshot from which the tape is complete up to iteration `index`."""
        return next((s for s in self.snapshots if s.index <= index and self.tape.covers(s.index, index)), None)

    def iteration_of(self, step: int) -> int | None:
        """The iteration on the tape in which optimizer step `step` was taken."""
        return self.tape.latest_with(step)

    def taped(self, index: int) -> Taped | None:
        return self.tape.get(index)

    def tape_item(self, index: int, item: Any, random: RandomState) -> Taped:
        return self._feed(index, item, random, self.indices())

    def taped_next(self, args: tuple[Any, ...]) -> Any:
        taped = self._current if self._current is not None else self.tape.get(self._index)
        if self._playback and taped is not None:  # going on from an earlier snapshot
            taped.nexts.append(self._playback.pop(0))
            value, error, random = taped.nexts[-1]
            random.restore()
            if error is not None:
                raise error
            return value
        self._next_habit.body_ended()
        try:
            value = next(*args)
        except BaseException as error:
            if taped is not None:
                taped.nexts.append((None, error, RandomState()))
            raise
        if taped is not None:
            taped.nexts.append((value, None, self._next_habit.fetched()))  # it may have drawn random numbers
        return value

    def _thin(self, index: int) -> None:
        keep: list[Snapshot] = []
        buckets: set[int] = set()
        used = 0
        newer = self.tape.fed  # bytes fed when the next newer snapshot was taken
        for age, snap in enumerate(reversed(self.snapshots)):
            distance = index - snap.index
            bucket = distance.bit_length()
            if age >= RECENT and (bucket in buckets or distance > OLDEST):
                continue
            fed = self._fed_at.get(snap.index, newer)
            used += snap.nbytes + newer - fed
            newer = fed
            if age >= 1 and used > self.memory:
                break
            buckets.add(bucket)
            keep.append(snap)
        self.snapshots = keep[::-1]
        oldest = self.snapshots[0].index
        self.tape.drop_before(oldest)
        for i in [i for i in self._fed_at if i < oldest]:
            del self._fed_at[i]
