"""This process among the others of its run: an alarm of one stops the loops of all, at the end of the same iteration.

Nothing is asked for while all is well, and no collective operation is added. After an alarm the body of the loop is not
left: others already wait for this process in a collective, so the iteration goes on, its updates held back. At its end
everybody says in which iteration it is; the farthest is where all stop (whoever is behind goes on until there, so
every collective finds its partners). Then they exchange what they know (`meeting`), and one of them leads.

Where somebody does not come in time (it left its iteration, or its loop has ended), the rank with the alarm explains
what it saw without executing anything again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from whynan.guard.autocast import Autocast
from whynan.guard.ranks.channel import Channel, Silence, started
from whynan.guard.ranks.ear import Ear
from whynan.guard.ranks.meeting import Facts, Meeting
from whynan.guard.ranks.pace import Pace
from whynan.watch.gate import Gate
from whynan.watch.seen import Seen

if TYPE_CHECKING:
    from whynan.watch.looprun import LoopRun
    from whynan.watch.watcher import Watcher

PATIENCE = 10.0  # seconds to wait for the others at the end of an iteration, beyond 20 times the longest one so far


class InStep:
    """The consumer of a loop that must not be left in the middle, see `LoopRun.library`. Any item comes again."""

    def repeats(self, index: int) -> bool:
        return True

    def seek(self, index: int) -> None:
        pass


class Ranks:
    """Of this process. `channel` is None until there are several ranks, and again once they lost each other."""

    def __init__(self, watcher: Watcher, alone: Callable[[Seen, str], None], share: float) -> None:
        """`alone(seen, why)`: explain without executing anything again."""
        self.watcher, self.alone, self.share = watcher, alone, share
        self.channel: Channel | None = None
        self.ear: Ear | None = None
        self.meeting: Meeting | None = None
        self.lost = False
        self._alarm: int | None = None  # iteration of the run in which this rank raised one
        self._pace = Pace(share)
        self._begun = 0.0
        self._claimed = False
        self._last: Channel | None = None
        loops, takes = watcher.loops, watcher.takes
        finished, over, excepted = loops.on_finished, loops.on_over, loops.on_exception

        def taken(seen: Seen) -> bool:
            if takes(seen):
                return True
            self._raises()
            return False

        loops.on_begin = self._begins
        loops.on_finished = lambda run: self._finished(run, finished)
        loops.on_over = lambda run: self._finished(run, over, last=True)
        loops.on_exception = lambda run, error: not self.another_explains and excepted(run, error)
        watcher.takes = taken

    # the loop --------------------------------------------------------------------------------------------------

    def _begins(self, run: LoopRun) -> None:
        """A loop that may train begins: from here on every iteration is of interest, if there are others."""
        if self.channel is not None or self.lost or not started() or not self._open():
            return
        loops = self.watcher.loops
        yielding = loops.on_yield

        def on_yield(run: LoopRun) -> None:
            if self.channel is not None:
                self._enters(run)
            if yielding is not None:
                yielding(run)

        loops.on_yield = on_yield

    def _enters(self, run: LoopRun) -> None:
        assert self.ear is not None
        self.ear.position = run.iteration
        self._begun = time.monotonic()
        self.watcher.loops.eventful = True  # the end of every iteration is of interest
        if run.consumer is None:
            run.consumer = InStep()  # type: ignore[assignment]
        if self.watcher.gate is None:
            self.watcher.gate = Gate(self.watcher.holds)

    def _open(self) -> bool:
        self.channel = Channel.open()
        if self.channel is None:
            self.lost = True
            return False
        self.ear = Ear(self.channel.another())
        return True

    def _raises(self) -> None:
        """This rank has an alarm, in the middle of an iteration or at its end."""
        if self.channel is None or self.ear is None or self.watcher.muted or self.watcher.pending is not None:
            return
        self._alarm = self.ear.position
        self._tell_alarm(None)

    def _tell_alarm(self, at: int | None) -> None:
        assert self.channel is not None and self.ear is not None
        self.channel.tell(f"{self.ear.round}/alarm", rank=self.channel.rank)
        self.ear.raised(at)

    def _finished(self, run: LoopRun, original: Callable[[LoopRun], bool], last: bool = False) -> bool:
        channel, ear = self.channel, self.ear
        if channel is None or ear is None or run.record is None or not self.watcher.loops.trains(run):
            return original(run)
        ear.longest = max(ear.longest, time.monotonic() - self._begun)
        ear.position = run.iteration + (not last)  # first this, then the look at `stop`
        self._keep_pace(run)
        found = original(run)
        if found and self._alarm is None:
            self._alarm = run.iteration
            self._tell_alarm(run.iteration)
        if last and not ear.stop and channel.told(f"{ear.round}/alarm"):
            ear.raised(run.iteration)
        return self._meet(run, found) if ear.stop else found

    def _keep_pace(self, run: LoopRun) -> None:
        assert self.channel is not None and self.ear is not None and run.record is not None
        if not run.engaged or not run.record.snapshots:
            return
        if self.channel.rank == 0:
            if self._pace.changes(run.record):
                self.channel.tell("every", iterations=self._pace.every)
        elif self.ear.every is not None:
            self._pace.every = self.ear.every
        if self._pace.due(run.record, run.index):
            run.record.ripen()

    # meeting ---------------------------------------------------------------------------------------------------

    def _meet(self, run: LoopRun, found: bool) -> bool:
        """At the end of an iteration, after an alarm anywhere. True: `meeting` is where all begin to investigate."""
        assert self.channel is not None and self.ear is not None
        try:
            end = max(facts["iteration"] for facts in self._everybody("at"))
            if run.iteration < end:
                return False
            self._say_facts(run)
            agreed = Meeting.of(self._everybody("facts"), self.channel.rank)
        except Silence:
            agreed = "the other ranks did not come to the end of this iteration, or their loop is over"
        if isinstance(agreed, str):
            return self._part(run, agreed)
        self.meeting = agreed
        assert run.record is not None
        run.record.snapshots = [s for s in run.record.snapshots if s.index in agreed.snapshots]
        if not found:  # somebody else's alarm
            self.watcher.pending = (run, Seen(agreed.what, None, "nan", [], agreed.step))
        return True

    def _everybody(self, what: str) -> list[dict[str, Any]]:
        assert self.channel is not None and self.ear is not None
        patience = PATIENCE + 20 * self.ear.longest
        until = time.monotonic() + patience
        keys = (f"{self.ear.round}/{what}/{rank}" for rank in range(self.channel.world))
        return [self.channel.hear(key, max(0.0, until - time.monotonic())) for key in keys]

    def _say_facts(self, run: LoopRun) -> None:
        record, pending = run.record, self.watcher.pending
        assert self.channel is not None and self.ear is not None and record is not None
        mine = pending is not None and pending[0] is run and self._alarm is not None
        seen = pending[1] if mine and pending is not None else None
        index = (self._alarm or 0) - run.first if mine else run.index
        facts = Facts(
            rank=self.channel.rank, loop=f"{run.site.file}:{run.site.line}", first=run.first, index=run.index,
            failed=index if mine else None, step=seen.step if seen is not None else self.watcher.sentinel.steps,
            what=seen.what if seen is not None else "", autocast=Autocast.used,
            snapshots=[s.index for s in record.snapshots if record.at_or_before(s.index) is s],
            healthy=[s.index for s in record.healthy(before=index)],
        )  # fmt: skip
        self.channel.tell(f"{self.ear.round}/facts/{self.channel.rank}", **dataclasses.asdict(facts))

    def _part(self, run: LoopRun, why: str) -> bool:
        """No meeting: whoever has an alarm says what it saw, unless another rank does already."""
        assert self.channel is not None and self.ear is not None
        pending = self.watcher.pending
        self._last, self.channel, self.lost = self.channel, None, True
        if pending is not None:
            self.alone(pending[1], why)  # mostly ends the program
        return False

    def claim(self) -> bool:
        """Before this rank explains by itself: True for the first one that wants to."""
        channel = self.channel or self._last
        if channel is None or self._claimed:
            return True
        try:
            self._claimed = channel.store.add("claims", 1) == 1
            if self._claimed:
                channel.tell("alone", rank=channel.rank)
            return self._claimed
        except RuntimeError:  # the store is gone, and with it whoever explained
            return False

    @property
    def another_explains(self) -> bool:
        """By itself, and ends."""
        return self.ear is not None and self.ear.left is not None and not self._claimed

    def adjourn(self, run: LoopRun, position: int) -> None:
        """The meeting is over, and the loops go on with iteration `position`."""
        assert self.ear is not None
        self.meeting, self._alarm = None, None
        self.ear.adjourned(position)
