"""One pass over what the training loop is fed: column statistics, and every batch put through one step by itself."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whynan.preflight.data import sources
from whynan.preflight.data.columns import KEPT
from whynan.preflight.data.others import beneath
from whynan.preflight.data.problems import OUTLIER, distance
from whynan.preflight.data.scan import Scan, look_through
from whynan.preflight.tries import Tries

if TYPE_CHECKING:
    from whynan.replay.trace import Trace
    from whynan.watch.attempts import Attempt, Attempts, Outcome
    from whynan.watch.loops import LoopRun
    from whynan.watch.watcher import Watcher


@dataclass
class Epoch:
    """`scan` and `tries` hold what was found. Looking may take `seconds`, the steps half of them."""

    run: LoopRun
    attempts: Attempts
    watcher: Watcher
    tries: Tries
    trace: Trace  # of the first step
    seconds: float
    each: Callable[[], object] = lambda: None  # called after every batch
    scan: Scan = field(default_factory=Scan)
    _extremes: dict[str, tuple[float, Any]] = field(default_factory=dict)

    def look(self, step_is_sound: bool) -> Generator[Attempt, Outcome, None]:
        """step_is_sound: the first step was finite; else there is no use in more."""
        self.tries.deadline = time.monotonic() + self.seconds / 2
        names = sources.names(self.run)
        if sources.feeds(self.run.item):
            yield from self._fed(names, step_is_sound)
        else:
            self.scan, dealt_with = self._at_hand(names)
            if step_is_sound:
                self.tries.finite_with = dealt_with
                yield from self.tries.on()
        self.scan.handled = self.tries.finite_with - self.tries.failed_with

    def _fed(self, names: dict[str, str], try_them: bool) -> Generator[Attempt, Outcome, None]:
        deadline = time.monotonic() + self.seconds
        for number, (item, indices) in enumerate(self._items()):
            bad = self.scan.add(item, names, indices, deadline)
            if number and try_them and self.tries.open:
                yield from self.tries.item(number, item, tuple(indices or ())[:KEPT], bad)
            elif not number and try_them:
                self.tries.done, self.tries.finite_with = 1, set(bad)
            self._keep_extremes(item)
            self.each()
            if time.monotonic() > deadline:
                self.scan.complete = False
                break
        if try_them:
            yield from self._outliers()

    def _keep_extremes(self, item: Any) -> None:
        """For each tensor the batch with its largest magnitude so far."""
        for name, columns in self.scan.tensors.items():
            if columns.floating and columns.absmax > self._extremes.get(name, (0.0,))[0]:
                self._extremes[name] = (columns.absmax, item)

    def _outliers(self) -> Generator[Attempt, Outcome, None]:
        """One step with the batch that holds an outlier: does it move the weights farther than others do?"""
        for name, (_, item) in self._extremes.items():
            columns = self.scan.tensors[name]
            worst = max((distance(columns, i, fact) for i, fact in enumerate(columns.facts())), default=0.0)
            if worst > OUTLIER and (yield from self.tries.is_harmless(item)):
                self.scan.harmless.add(name)

    def _items(self) -> Iterator[tuple[Any, list[int] | None]]:
        """What the loop was given so far, and what it would be given, with the indices that a DataLoader drew."""
        record = self.run.record
        assert record is not None
        for index in itertools.count():
            taped = record.taped(index)
            if taped is None and index > self.tries.until:
                break
            if taped is not None:
                taped.held.put_back()
                yield taped.item, self._numbers(taped.indices)
        for item in self.scan.from_loader(self.attempts.iterator):
            yield item, self._drawn()

    def _drawn(self) -> list[int] | None:
        return self._numbers(self.watcher.drawn.latest())

    def _numbers(self, indices: list[Any] | None) -> list[int] | None:
        """Those in the data set beneath all subsets."""
        return beneath(self.watcher.drawn.dataset(), indices)

    def _at_hand(self, names: dict[str, str]) -> tuple[Scan, set[str]]:
        """The body of the loop draws its batches: its loader, else the tables that the program has at hand.

        With those whose NaN or Inf the first step has read.
        """
        loader = sources.running_loader(self.watcher)
        if loader is not None:
            scan = look_through(
                loader, seconds=self.seconds, names=sources.without_index(names), indices=self._drawn, each=self.each
            )
            return scan, set()
        tables, dealt_with = sources.read_by(self.trace, sources.tables(self.run))
        named = {f"[{name!r}]": name for name in tables}
        return look_through([tables] if tables else [], seconds=self.seconds, names=named), dealt_with
