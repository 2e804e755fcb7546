"""Going on for good from an earlier snapshot, with something changed: what keeps a run alive after a failure.

An attempt is undone when it ends; this is not. The state of the snapshot is put back, the items since then are handed
to the user's body once more (without those that are dropped), and then the loop draws new ones as if nothing had
been. What was changed stays changed: `around` is active during every following iteration, up to `until`. Nothing is
held back from the outside world, except the output of iterations that only repeat what was done already (`quiet_to`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whynan.watch.quarantine import quarantine

if TYPE_CHECKING:
    from whynan.watch.loops import LoopRun
    from whynan.watch.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Continue:
    """The answer of an investigation that wants the loop to go on. Iterations are those of the loop's run."""

    snapshot: Snapshot
    around: Callable[[int], contextlib.AbstractContextManager[Any]] | None = None
    prepare: Callable[[], Any] | None = None  # called once, after the restoration
    replace_item: Callable[[int, Any], Any] | None = None
    drop: frozenset[int] = frozenset()  # iterations that are left out
    until: int | None = None  # the last iteration with the change; None: for ever
    quiet_to: int = -1  # iterations up to this one are a repetition: their output is kept back


class GoingOn:
    """One loop that goes on. Hands out the taped items again, and keeps the change active around every body."""

    def __init__(self, run: LoopRun, plan: Continue, observer: Any) -> None:
        assert run.record is not None
        self.run, self.plan, self.observer, self.record = run, plan, observer, run.record
        self.last = max(self.record.tape, default=run.index)  # beyond it the loop draws new items
        self._context: contextlib.AbstractContextManager[Any] | None = None
        self._quiet: contextlib.AbstractContextManager[Any] | None = None
        self._index = plan.snapshot.index - 1

    def start(self) -> bool:
        """Put the state back. True: `run.item` is to be yielded; False: there is nothing to repeat."""
        plan = self.plan
        plan.snapshot.restore()
        self.record.rewound(plan.snapshot, plan.drop)
        self.observer.goes_on(plan.snapshot)
        if plan.prepare is not None:
            plan.prepare()
        if self._index + 1 <= plan.quiet_to:
            self._quiet = quarantine()
            self._quiet.__enter__()
        return self.advance()

    def advance(self) -> bool:
        """After a body, or at the start. True: `run.item` is a taped item, to be yielded again."""
        self.leave()
        if self._index >= self.last:
            self._speak_again()
            return False
        index = next((i for i in range(self._index + 1, self.last + 1) if self.record.taped(i) is not None), None)
        if (index if index is not None else self.last + 1) > self._index + 1:
            self.record.ripen()  # items are missing: what comes now must not be executed again from further back
        if index is None or index > self.plan.quiet_to:
            self._speak_again()
        taped = self.record.taped(index) if index is not None else None
        if index is None or taped is None:
            self._index = self.run.index = self.last
            self.run.seek(self.last + 1)
            return False
        if index > self.plan.snapshot.index:
            taped.random.restore()
        taped.held.put_back()
        self._index = self.run.index = index
        self.run.item = self.changed(index, taped.item)
        self.record.begin(self.run, taped.item, again=taped)
        self.run.seek(index)
        self.enter(index)
        return True

    def fresh(self, index: int, item: Any) -> Any:
        """A new item was drawn: what the body shall see in its place."""
        self._index = index
        self.enter(index)
        return self.changed(index, item)

    def changed(self, index: int, item: Any) -> Any:
        wanted = self.plan.replace_item is not None and self.active(index)
        return self.plan.replace_item(index, item) if wanted else item  # type: ignore[misc]

    def around(self, index: int) -> contextlib.AbstractContextManager[Any]:
        """The lasting change, also for attempts that execute this iteration again."""
        if self.plan.around is not None and self.active(index):
            return self.plan.around(index)
        return contextlib.nullcontext()

    def enter(self, index: int) -> None:
        self._context = self.around(index)
        self._context.__enter__()

    def leave(self) -> None:
        """The body of an iteration is over, in whatever way."""
        if self._context is not None:
            context, self._context = self._context, None
            context.__exit__(None, None, None)

    def end(self) -> None:
        """The loop is over."""
        self.leave()
        self._speak_again()

    def _speak_again(self) -> None:
        if self._quiet is not None:
            quiet, self._quiet = self._quiet, None
            quiet.__exit__(None, None, None)

    def active(self, index: int) -> bool:
        return index >= self.plan.snapshot.index and (self.plan.until is None or index <= self.plan.until)
