"""Puts the always-on part together: loops, snapshots, sentinel and hooks, and who is asked when something shows."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from whynan.tensors.many import is_finite
from whynan.watch.attempts import Attempt, Attempts, Investigator, Outcome
from whynan.watch.budget import SNAPSHOTS
from whynan.watch.consumer import Consumer
from whynan.watch.dataloader import DrawnIndices
from whynan.watch.frames import callers, read_locals
from whynan.watch.gate import Gate
from whynan.watch.hooks import Hooks
from whynan.watch.loops import LoopRun, LoopRuntime
from whynan.watch.randomness import FetchHabit
from whynan.watch.recorder import Recorder
from whynan.watch.room import NoRoom
from whynan.watch.sentinel import Seen, Sentinel
from whynan.watch.signals import Rewind, Stop
from whynan.watch.snapshot import Snapshot, Snapshotter
from whynan.watch.suspicion import suspect, suspect_leaving

if TYPE_CHECKING:
    from whynan.watch.source import SiteTable

LOG = logging.getLogger("whynan")


class Watcher:
    """One watched program. `investigator` explains in the user's loop; `fallback` where no loop can be re-executed."""

    current: Watcher | None = None  # of this process; there is one at most

    def __init__(
        self, sites: SiteTable, is_user_file: Callable[[str], bool], *, share: float = SNAPSHOTS, memory_mb: float = 512
    ) -> None:
        self.is_user_file = is_user_file
        self.share = share
        self.memory = int(memory_mb * (1 << 20))
        self.sentinel = Sentinel(self.alarm)
        self.snapshotter = Snapshotter(is_user_file)
        self.loops = LoopRuntime(sites, self._new_recorder)
        self.sentinel.on_looked = self._something_happened
        self.loops.on_exception = self._on_exception
        self.loops.on_finished = self._on_finished
        self.loops.on_over = lambda run: self._on_finished(run, last=True)
        self.loops.on_leave = self._on_leave
        self.loops.on_no_room = self._on_no_room
        self.loops.observer = self
        self.fallback: Callable[[Seen], None] = lambda seen: None
        self._pending: tuple[LoopRun, Seen] | None = None
        self.ending: Callable[[], BaseException] = Stop  # what leaves the loop after the explanation
        self.takes: Callable[[Seen], bool] = lambda seen: False  # a guard that deals with an alarm by itself
        self.took: Callable[[Seen], bool] = lambda seen: False  # and did so, when this step was first executed
        self.muted = False  # after the explanation: let the program end in peace
        self._extra: Callable[[], Seen | None] | None = None
        self.drawn = DrawnIndices()
        self.no_room: NoRoom | None = None  # snapshots were left out for want of memory
        self.hooks = Hooks(self.sentinel, self.loops)
        self.gate: Gate | None = None
        self._live: tuple[int, int] | None = None
        self._habits: dict[int, tuple[FetchHabit, FetchHabit]] = {}  # of each loop statement
        Watcher.current = self

    @property
    def pending(self) -> tuple[LoopRun, Seen] | None:
        """An alarm that is not explained yet, and the loop in which it will be."""
        return self._pending

    @pending.setter
    def pending(self, value: tuple[LoopRun, Seen] | None) -> None:
        self._pending = value
        self._something_happened()

    @property
    def extra(self) -> Callable[[], Seen | None] | None:
        """One more look between two iterations."""
        return self._extra

    @extra.setter
    def extra(self, look: Callable[[], Seen | None] | None) -> None:
        self._extra = look
        self._something_happened()

    def _something_happened(self) -> None:
        self.loops.eventful = True

    def explain_with(self, investigator: Investigator) -> None:
        self.loops.investigator = investigator

    def remove(self) -> None:
        self.hooks.remove()
        if self.gate is not None:
            self.gate.remove()
        if Watcher.current is self:
            Watcher.current = None
        self.drawn.undo()
        self.loops.forget()

    # alarms ----------------------------------------------------------------------------------------------------

    def alarm(self, seen: Seen) -> None:
        attempts = Attempts.current
        if attempts is not None:
            if not self.took(seen) and attempts.symptom(seen):
                raise Rewind(attempts.run)
            return
        if self.muted or self.pending is not None or self.takes(seen):
            return
        seen.site = self._user_site()
        runs = [r for r in self.loops.enclosing(sys._getframe(1)) if r.watched and r.record and r.record.snapshots]
        if not runs:
            return self.fallback(seen)
        run = next((r for r in runs if self.loops.trains(r)), runs[0])  # not the loop over micro-batches inside of it
        self.pending = (run, seen)
        if seen.hard and not run.library:
            raise Rewind(run)

    def feed(self, site: int, frame: FrameType, iterator: Iterator[Any], consumer: Consumer) -> Iterator[Any]:
        """Items for a loop whose source is not rewritten. Updates after an alarm are held back until its body ends."""
        if self.gate is None:
            self.gate = Gate(self.holds)
        return self.loops.feed(iterator, site, frame, consumer)

    def holds(self, optimizer: Any) -> bool:
        attempts = Attempts.current
        if attempts is not None:
            held = attempts.run.library and attempts.outcome.ended == "symptom"
        else:
            held = self.pending is not None and self.pending[0].library and self.pending[1].hard
        if self.gate is not None:
            self.gate.copies = attempts is not None
        return held

    def _user_site(self) -> tuple[str, int, str] | None:
        for frame in callers(sys._getframe(2)):
            if self.is_user_file(frame.f_code.co_filename):
                return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        return None

    def _on_finished(self, run: LoopRun, last: bool = False) -> bool:
        """`last`: no iteration follows. What the pace passed over is looked at while it can still be executed again."""
        if self.muted:
            return False
        record, sentinel = run.record, self.sentinel
        if run.engaged:
            self.loops.eventful = self._pending is not None or self._extra is not None
        ripe = record is not None and (record.ripe(run.index) or last or run.done)
        if self.pending is None and run.engaged and record is not None and record.snapshots:
            if not (ripe or sentinel.looked or self.extra is not None):
                return False
            seen = self._looked_at_everything(record, ripe)
            if seen is not None:
                self.pending = (run, seen)
            elif sentinel.fresh:
                record.clean_at = run.index
        if self.pending is None or self.pending[0] is not run:
            return False
        if run.consumer is not None and not run.consumer.repeats(run.index):
            self.fallback(self.pending[1])  # the same item cannot be handed out again
            return False
        return True

    def _on_no_room(self, run: LoopRun, error: NoRoom) -> None:
        """The iteration cannot be executed again: its state does not fit into the memory a second time."""
        self.no_room = error
        if self.pending is not None:
            self.fallback(self.pending[1])

    def _looked_at_everything(self, record: Recorder, ripe: bool) -> Seen | None:
        """Between two iterations: parameters and state if a snapshot is to be taken of them, buffers, and more."""
        start = time.thread_time()
        seen = self.sentinel.look_everywhere() if ripe else None
        seen = seen or self.turned_bad(record.snapshots[-1]) or (self.extra() if self.extra is not None else None)
        self.sentinel.looked = False
        if ripe:
            record.looked(time.thread_time() - start)
        return seen

    def turned_bad(self, snapshot: Snapshot) -> Seen | None:
        """A buffer that is non-finite now; one that was so before the iteration (a mask) is accepted as it is."""
        while (seen := self.sentinel.buffers(snapshot.buffers)) is not None:
            before = [(t, snapshot.entries.get(id(t))) for t in seen.tensors]
            same = [t for t, e in before if e is not None and not is_finite(e.then())]
            if not same:
                return seen
            self.sentinel.accept(same)
        return None

    def _on_exception(self, run: LoopRun, error: BaseException) -> bool:
        if self.muted or run.record is None or not run.record.snapshots:
            return False
        if self.pending is None or self.pending[0] is not run:
            seen = suspect(error, self.sentinel.steps)
            if seen is None:
                return False
            self.pending = (run, seen)
        run.record.pending_error = error
        return True

    def _on_leave(self, run: LoopRun) -> bool:
        if self.muted or run.record is None or not run.record.snapshots:
            return False
        if self.pending is None:
            seen = suspect_leaving(run.record.snapshots[-1].locals, read_locals(run.frame), self.sentinel.steps)
            seen = seen or (self.sentinel.last_look() if run.engaged else None)
            if seen is not None:
                self.pending = (run, seen)
        return self.pending is not None and self.pending[0] is run

    # re-execution ----------------------------------------------------------------------------------------------

    def goes_on(self, snapshot: Snapshot) -> None:
        """The loop goes on from `snapshot` for good: what came later is forgotten."""
        sentinel = self.sentinel
        sentinel.steps, sentinel.backwards = snapshot.steps, snapshot.backwards
        sentinel.history.rewind(snapshot.backwards, snapshot.steps)
        sentinel.reset()
        self.muted, self.pending = False, None

    def attempt_begins(self, attempt: Attempt) -> None:
        sentinel = self.sentinel
        if self._live is None:
            self._live = (sentinel.steps, sentinel.backwards)
        sentinel.steps, sentinel.backwards = attempt.snapshot.steps, attempt.snapshot.backwards
        sentinel.recording, sentinel.probe = False, []
        sentinel.reset()

    def attempt_ends(self, outcome: Outcome) -> None:
        sentinel = self.sentinel
        outcome.fingerprints = sentinel.probe or []
        sentinel.recording, sentinel.probe = True, None
        if self._live is not None:
            sentinel.steps, sentinel.backwards = self._live
            self._live = None

    def _told_of_no_room(self, error: NoRoom) -> None:
        if self.no_room is None:
            LOG.warning("whynan: %s: a failure can only be explained by running the program again", error)
        self.no_room = error

    def _new_recorder(self, run: LoopRun) -> Recorder:
        def spend(seconds: float) -> None:
            self.sentinel.seconds += seconds

        return Recorder(
            self.snapshotter,
            self.sentinel,
            share=self.share,
            memory=self.memory,
            spend=spend,
            indices=self.drawn.latest,
            habits=self._habits.setdefault(run.number, (FetchHabit(), FetchHabit())),
            on_no_room=self._told_of_no_room,
        )
