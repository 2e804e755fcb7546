"""One execution of one loop statement."""

from __future__ import annotations

from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whynan.watch.attempts import Attempts
    from whynan.watch.consumer import Consumer
    from whynan.watch.goingon import GoingOn
    from whynan.watch.recorder import Recorder
    from whynan.watch.source import LoopSite


class LoopRun:
    """One execution of one loop statement."""

    __slots__ = ("site", "number", "frame", "index", "watched", "engaged", "done", "item", "record", "attempts",
                 "fetching", "first", "goingon", "consumer", "inert", "over")  # fmt: skip

    def __init__(self, site: LoopSite, number: int, frame: FrameType, first: int) -> None:
        self.site = site
        self.number = number
        self.frame = frame
        self.first = first  # iterations of this loop statement before this execution of it
        self.index = -1  # iteration of this run
        self.watched = False  # state is recorded
        self.engaged = False  # took an optimizer step: a training loop
        self.done = False  # the condition of a while loop was false
        self.over = False  # there is no further item
        self.fetching = True  # between the body and the next item
        self.inert = False  # no code runs and no random number is drawn to get the next item
        self.item: Any = None
        self.record: Recorder | None = None
        self.attempts: Attempts | None = None
        self.goingon: GoingOn | None = None  # an earlier failure was survived, with something changed
        self.consumer: Consumer | None = None  # the source is not rewritten: `watch(loader)` feeds the loop

    @property
    def library(self) -> bool:
        """Nothing of ours may be raised through the body of this loop."""
        return self.consumer is not None

    def seek(self, index: int) -> None:
        if self.consumer is not None:
            self.consumer.seek(index)

    @property
    def iteration(self) -> int:
        """Index over all executions of this loop statement, as a user counts batches."""
        return self.first + self.index
