"""Executing iterations again in the user's own loop.

An investigation (`Investigator`) is a generator: it yields an `Attempt` (from which snapshot, up to which iteration,
with what active), receives its `Outcome`, and may ask for another. Between two attempts the user's body runs, because
the loop's generator yields the items of the attempt. The investigation returns True to end the program, False when it
found nothing wrong (the state after the original iteration is put back and the loop goes on), or `Continue`: go on for
good from an earlier snapshot, with something changed (see `goingon`).

In a loop whose source was rewritten, a symptom unwinds the body at once. Elsewhere (`run.library`) nothing may pass
through the user's body: the updates of the rest of the iteration are held back and the body ends by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from whynan.watch.goingon import Continue, GoingOn
from whynan.watch.quarantine import quarantine
from whynan.watch.randomness import RandomState
from whynan.watch.snapshot import Snapshot

if TYPE_CHECKING:
    from whynan.watch.loops import LoopRun

ContextFactory = Callable[[int], contextlib.AbstractContextManager[Any]]


@dataclass(kw_only=True)
class Attempt:
    """Restore `snapshot`, then execute its iteration and the following ones up to and including `until`."""

    snapshot: Snapshot
    until: int
    around: ContextFactory | None = None  # what is active while iteration `index` executes
    prepare: Callable[[], Any] | None = None  # called once, after the restoration
    replace_item: Callable[[int, Any], Any] | None = None  # another item for iteration `index`
    stop_at_symptom: bool = True
    buffers: bool = False  # look at buffers as well, at the end of each iteration
    risky: bool = False  # may raise inside of the user's body, which only a rewritten loop survives


@dataclass
class Outcome:
    """What happened: `ended` is one of "done", "symptom", "exception", "left" (break, return), "exhausted"."""

    ended: str = "done"
    executed: int = 0
    symptom: Any = None  # the sentinel's first finding
    error: BaseException | None = None
    lost: list[Any] = field(default_factory=list)  # tensors that could not be put back
    fingerprints: list[Any] = field(default_factory=list)  # what the sentinel measured, step by step
    losses: list[float] = field(default_factory=list)


Investigator = Callable[["LoopRun", "Attempts"], Generator[Attempt, Outcome, "bool | Continue"]]


class Attempts:
    """The state machine that turns the attempts of one investigation into re-yielded items of one loop."""

    current: Attempts | None = None  # the sentinel asks whether a re-execution is under way

    def __init__(self, run: LoopRun, iterator: Iterator[Any], investigator: Investigator, observer: Any) -> None:
        assert run.record is not None
        self.run = run
        self.iterator = iterator
        self.observer = observer
        self.record = run.record
        self.plan = investigator(run, self)
        self.after = run.record.snapshot(run, run.item, keep=False)  # to go on if nothing was wrong
        self.outcome = Outcome()
        self.attempt: Attempt | None = None
        self.index = run.index
        self._live_index = self.alarm_at = run.index
        self._closing: Snapshot | None = None  # all is said: only the way to the last healthy state is left
        self._context: contextlib.AbstractContextManager[Any] | None = None
        self._quiet: contextlib.AbstractContextManager[Any] | None = None
        self._nexts: list[Any] = []

    def start(self) -> bool:
        return self._propose(None)

    def failed(self, error: BaseException) -> bool:
        """An exception left the body during an attempt."""
        if isinstance(error, KeyboardInterrupt):
            self.abandon()
            return False
        self.outcome.ended, self.outcome.error = "exception", error
        return True

    def left(self) -> None:
        self.outcome.ended = "left"

    def symptom(self, symptom: Any) -> bool:
        """The sentinel saw something. True: unwind the body now."""
        if self.outcome.symptom is None:
            self.outcome.symptom = symptom
        if self.attempt is not None and self.attempt.stop_at_symptom:
            self.outcome.ended = "symptom"
            if not self.run.library:
                return True
            self._leave_iteration()  # what follows in the body is not looked at
        return False

    def advance(self) -> bool:
        """After the body of one re-executed iteration. True: `run.item` is to be yielded again."""
        assert self.attempt is not None
        self._leave_iteration()
        self.outcome.executed += 1
        if self.run.done:
            self.run.done, self.outcome.ended = False, "exhausted"
        if self.attempt.buffers and self.outcome.symptom is None:
            self.outcome.symptom = self.observer.turned_bad(self.attempt.snapshot)
            if self.outcome.symptom is not None and self.attempt.stop_at_symptom:
                self.outcome.ended = "symptom"
        if self.outcome.ended == "done" and self.index < self.attempt.until and self._load(self.index + 1):
            self._enter_iteration()
            return True
        return self._propose(self._finish())

    def replayed_next(self, args: tuple[Any, ...]) -> Any:
        if self._nexts:
            value, error, random = self._nexts.pop(0)
            random.restore()
            if error is not None:
                raise error
            return value
        value = next(*args)  # beyond the tape: the iteration goes further than it did
        return value

    def draw_anew(self) -> None:
        """Forget what `next()` gave in the body of this iteration: executed again, it draws."""
        self._nexts.clear()

    def abandon(self) -> None:
        """The loop is being torn down in the middle of an attempt."""
        if self.attempt is not None:
            self._leave_iteration()
            self._finish()
            self.run.attempts = None
            with contextlib.suppress(Exception):
                self.plan.close()
            if self.run.library:  # the program goes on after its loop, from where it was
                self.after.restore()

    # -----------------------------------------------------------------------------------------------------------

    def _propose(self, outcome: Outcome | None) -> bool:
        if self._closing is not None:
            if outcome is None or outcome.ended != "done":
                self._closing.restore()
            self._end()
        try:
            attempt = self.plan.send(outcome)  # type: ignore[arg-type]
            while attempt.risky and self.run.library:
                attempt = self.plan.send(Outcome("exception", error=RuntimeError("not tried in this loop")))
        except StopIteration as finished:
            if finished.value is not True:
                self.run.attempts = None
            if isinstance(finished.value, Continue):
                self.run.index = self._live_index
                self.run.goingon = GoingOn(self.run, finished.value, self.observer)
                return self.run.goingon.start()
            if finished.value:
                return self._leave_intact()
            self._go_on()
            return False
        self._begin(attempt)
        return True

    def _begin(self, attempt: Attempt) -> None:
        Attempts.current = self
        self.attempt, self.outcome = attempt, Outcome()
        self._quiet = quarantine()
        self._quiet.__enter__()
        attempt.snapshot.restore()
        self.observer.attempt_begins(attempt)
        self.outcome.lost = attempt.snapshot.lost
        self._load(attempt.snapshot.index, restored=True)
        if attempt.prepare is not None:
            attempt.prepare()
        self._enter_iteration()

    def _load(self, index: int, restored: bool = False) -> bool:
        """Make `run.item` the item of iteration `index`: from the tape, or fetched and taped if it is a new one."""
        taped = self.record.taped(index)
        if taped is None:
            if index <= self._live_index:
                return False
            try:
                item = next(self.iterator)
            except StopIteration:
                self.outcome.ended = "exhausted"
                return False
            taped = self.record.tape_item(index, item, RandomState())
            self._live_index = index
        elif not restored:
            taped.random.restore()
        self.index = self.run.index = index
        taped.held.put_back()
        item = taped.item
        if self.run.goingon is not None:
            item = self.run.goingon.changed(index, item)
        if self.attempt is not None and self.attempt.replace_item is not None:
            item = self.attempt.replace_item(index, item)
        self.run.item = item
        self._nexts = list(taped.nexts)
        self.run.seek(index)
        return True

    def _enter_iteration(self) -> None:
        assert self.attempt is not None
        self._context = stack = contextlib.ExitStack()
        if self.run.goingon is not None:
            stack.enter_context(self.run.goingon.around(self.index))
        if self.attempt.around is not None:
            stack.enter_context(self.attempt.around(self.index))

    def _leave_iteration(self) -> None:
        if self._context is not None:
            context, self._context = self._context, None
            context.__exit__(None, None, None)

    def _finish(self) -> Outcome:
        if self._quiet is not None:
            quiet, self._quiet = self._quiet, None
            quiet.__exit__(None, None, None)
        self.attempt = None
        Attempts.current = None
        self.observer.attempt_ends(self.outcome)
        return self.outcome

    def _leave_intact(self) -> bool:
        """What the program still does on its way out (`finally: save(model)`) sees the last healthy state.

        That is the one before the alarm: where the snapshot is older, the iterations since then are executed once more.
        """
        snapshot = self.record.at_or_before(self.alarm_at)
        if snapshot is not None and snapshot.index < self.alarm_at:
            self._closing = snapshot
            self._begin(Attempt(snapshot=snapshot, until=self.alarm_at - 1))
            return True
        (snapshot or self.after).restore()
        self._end()

    def _end(self) -> NoReturn:
        self.run.attempts = None
        raise self.observer.ending() from None

    def _go_on(self) -> None:
        self.after.restore()
        self.run.index = self._live_index
        self.record.resume()
        pending, self.run.item = self.record.pending_error, None
        if pending is not None:
            self.record.pending_error = None
            raise pending.with_traceback(pending.__traceback__)
