"""What the rewritten loops of the user's code call at run time: the loop that can yield the same item again.

Every `for` and `while` of the user's code draws its items from a generator of this file. Most loops never take an
optimizer step and pay a flag test per iteration. The innermost loop on the call stack of an `optimizer.step()` is a
training loop: from then on it has its state recorded (`Recorder`), and when something non-finite shows, the generator
puts an earlier state back and yields the earlier item again, so that the user's own body executes the failing step
once more, under whatever the investigation wants to be active.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from whynan.watch import inert
from whynan.watch.attempts import Attempts, Investigator
from whynan.watch.consumer import Consumer
from whynan.watch.looprun import LoopRun
from whynan.watch.recorder import Recorder
from whynan.watch.room import NoRoom
from whynan.watch.signals import Rewind
from whynan.watch.source import NAMES
from whynan.watch.tracing import compiling, traced_done, traced_leave, traced_while

if TYPE_CHECKING:
    from whynan.watch.source import SiteTable

_EMPTY: tuple[Iterable[Any], ...] = ((), [], range(0), range(1 << 99), {}, {}.items())
_INERT = frozenset({itertools.repeat, *(type(iter(container)) for container in _EMPTY)})
BARREN_ENTRIES = 20  # a loop entered this often without an optimizer step inside is left alone


class LoopRuntime:
    """Keeps the running loops, finds the training loop, and runs investigations in it."""

    def __init__(self, sites: SiteTable, recorder: Callable[[LoopRun], Recorder]) -> None:
        self.sites = sites
        self.recorder = recorder
        self.enabled = True
        self.optimizers_exist = False
        self.investigator: Investigator | None = None
        self.on_exception: Callable[[LoopRun, BaseException], bool] = lambda run, exc: False
        self.on_finished: Callable[[LoopRun], bool] = lambda run: False
        self.on_over: Callable[[LoopRun], bool] = lambda run: False  # a training loop has no further item
        self.on_leave: Callable[[LoopRun], bool] = lambda run: False
        self.on_no_room: Callable[[LoopRun, NoRoom], None] = lambda run, error: None
        self.observer: Any = None  # told when an attempt begins and ends
        self.on_begin: Callable[[LoopRun], None] | None = None  # a loop that may train
        self.on_yield: Callable[[LoopRun], None] | None = None
        self.eventful = True  # something else than the pace wants to know when an iteration is over
        self.on_end: Callable[[LoopRun], None] = lambda run: None
        self.on_dropped: Callable[[LoopRun], None] = lambda run: None  # nobody wants the items of this loop any more
        self._thread = threading.get_ident()
        self._active: dict[int, list[LoopRun]] = {}
        self._barren: dict[int, int] = {}
        self._total: dict[int, int] = {}
        self._training: set[int] = set()
        self._latest: LoopRun | None = None  # whose body was entered last
        self._stepped: LoopRun | None = None  # in whose body the latest optimizer step was

    # what the rewritten code calls -----------------------------------------------------------------------------

    def names(self) -> dict[str, Callable[..., Any]]:
        """What rewritten code calls, by name: to be put into `builtins`, as `inert.inert_names` is."""
        functions = (self.for_, self.while_, self.done, self.caught, self.next_, self.leave)
        return dict(zip(NAMES, functions, strict=True))

    def for_(self, iterable: Iterable[Any], site: int) -> Iterable[Any]:
        if compiling() or self._plain(site):
            return iterable
        try:
            iterator = iter(iterable)
        except BaseException as error:
            _leave_out_this_frame(error)
            raise
        return self._drive(iterator, site, sys._getframe(1))

    def while_(self, site: int) -> Iterable[Any]:
        if compiling():
            return traced_while(site)
        return self._drive(itertools.repeat(()), site, sys._getframe(1))

    def done(self, site: int) -> None:
        if compiling():
            return traced_done(site)
        run = self._top(sys._getframe(1), site)
        if run is not None:
            run.done = True
        else:  # the loop was running before torch was imported
            inert.finish(sys._getframe(1), site)

    def caught(self, site: int) -> bool:
        """An exception left the body. True: the generator takes over (`continue`); False: it goes on its way."""
        if compiling():
            return False
        run = self._top(sys._getframe(1), site)
        error = sys.exc_info()[1]
        if run is None or not run.watched or error is None:
            return False
        if isinstance(error, Rewind):
            return error.run is run
        if run.attempts is not None:
            return run.attempts.failed(error)
        return isinstance(error, (Exception, SystemExit)) and self.on_exception(run, error)

    def leave(self, *sites: int) -> None:
        """A `break` or `return` is about to leave these loops of one frame, innermost first."""
        if compiling():
            return traced_leave(*sites)
        frame = sys._getframe(1)
        for site in sites:
            run = self._top(frame, site, anywhere=True)
            if run is not None and run.watched:
                if run.attempts is not None:
                    run.attempts.left()
                    raise Rewind(run)
                if self.on_leave(run):
                    raise Rewind(run)

    def next_(self, *args: Any) -> Any:
        """`next(...)` in user code: what it gave is taped, and played back when the iteration is executed again."""
        if compiling():
            return next(*args)
        try:
            return self._next(args)
        except BaseException as error:
            while error.__traceback__ is not None and error.__traceback__.tb_frame.f_globals.get(
                "__name__", ""
            ).startswith("whynan."):
                error.__traceback__ = error.__traceback__.tb_next
            raise

    def _next(self, args: tuple[Any, ...]) -> Any:
        for run in self.enclosing(sys._getframe(2)):
            if run.watched and not run.fetching:
                if run.attempts is not None:
                    return run.attempts.replayed_next(args)
                if run.record is not None:
                    return run.record.taped_next(args)
                break
        return next(*args)

    def feed(self, iterator: Iterator[Any], site: int, frame: FrameType, consumer: Consumer) -> Iterator[Any]:
        """The items of a loop of `frame` whose source was not rewritten."""
        return self._drive(iterator, site, frame, consumer)

    # finding loops ---------------------------------------------------------------------------------------------

    def enclosing(self, frame: FrameType | None) -> Iterator[LoopRun]:
        """The running loops whose body is on the call stack of `frame`, innermost first."""
        while frame is not None:
            runs = self._active.get(id(frame))
            if runs:
                yield from reversed(runs)
            frame = frame.f_back

    def running(self) -> list[LoopRun]:
        return [run for runs in self._active.values() for run in runs]

    def left_behind(self, frame: FrameType | None) -> list[LoopRun]:
        """Fed loops that nobody closed, but whose frame is not on the call stack of `frame` any more."""
        stack = set()
        while frame is not None:
            stack.add(id(frame))
            frame = frame.f_back
        return [run for key, runs in self._active.items() if key not in stack for run in runs if run.library]

    def stepped_again(self) -> bool:
        """The short form of `stepped`: no other body was entered since that of the loop that took the step before."""
        run = self._latest
        if run is None or run is not self._stepped or run.attempts is not None or (record := run.record) is None:
            return False
        record.stepped(run.index)
        return True

    def stepped(self, frame: FrameType | None) -> None:
        """An optimizer step was completed under `frame`: the innermost loop around it is a training loop."""
        runs = None
        while frame is not None and runs is None:
            runs = self._active.get(id(frame))
            frame = frame.f_back
        if not runs or (run := runs[-1]).attempts is not None:
            return
        self._stepped = run
        if not run.engaged:
            run.engaged = True
            self._training.add(run.number)
            if run.record is None:
                self._watch(run)
        if run.record is not None:
            run.record.stepped(run.index)

    def trains(self, run: LoopRun) -> bool:
        """Did this loop statement ever take an optimizer step?"""
        return run.number in self._training

    def fetching(self, frame: FrameType | None) -> bool:
        """Is code under `frame` running because a training loop asks for its next item?"""
        return any(run.fetching and run.number in self._training for run in self.enclosing(frame))

    def forget(self) -> None:
        """In a forked child: the loops go on, unobserved."""
        self.enabled = False
        for runs in self._active.values():
            for run in runs:
                run.watched = False

    # the generator ---------------------------------------------------------------------------------------------

    def _drive(
        self, iterator: Iterator[Any], site: int, frame: FrameType, consumer: Consumer | None = None
    ) -> Iterator[Any]:
        run = LoopRun(self.sites[site], site, frame, self._total.get(site, 0))
        run.consumer, run.inert = consumer, type(iterator) in _INERT
        runs = self._active.setdefault(id(frame), [])
        runs.append(run)
        if self.enabled and (site in self._training or (self.optimizers_exist and self._promising(site))):
            self._watch(run)
        try:
            while True:
                try:
                    item = next(iterator)
                except StopIteration:
                    run.over = run.watched and run.engaged and run.attempts is None
                    if not run.over:
                        return
                except BaseException as error:
                    _leave_out_this_frame(error)
                    raise
                if run.over:  # the last iterations may not have been looked at
                    run.fetching = False
                    while run.watched and self._again(run, iterator):
                        yield run.item
                    return
                run.index += 1
                if run.watched:
                    record = run.record
                    assert record is not None
                    run.item = item
                    if not (run.inert and record.counted(run.index, item)):
                        record.begin(run, item)
                    if run.goingon is not None:
                        item = run.item = run.goingon.fresh(run.index, item)
                    run.fetching = False
                    self._latest = run
                    if self.on_yield is not None:
                        self.on_yield(run)
                    yield item
                    if record.left > 1 and run.engaged and (run.inert or not record.habit.learning) and not (
                        self.eventful or run.done or run.goingon
                    ):
                        record.left -= 1  # nearly always
                    else:
                        while run.watched and self._again(run, iterator):
                            yield run.item
                    run.fetching = True
                else:
                    run.fetching = False
                    self._latest = run
                    yield item
                    run.fetching = True
                if run.done:
                    return
        except GeneratorExit:
            self.on_dropped(run)
            raise
        finally:
            self._total[site] = run.first + run.index + 1
            if run in runs:
                runs.remove(run)
            if not runs:
                self._active.pop(id(frame), None)
            if not run.engaged and site not in self._training:
                self._barren[site] = self._barren.get(site, 0) + 1
            if run.attempts is not None:
                run.attempts.abandon()
            if run.goingon is not None:
                run.goingon.end()
            run.record = run.item = self._latest = self._stepped = None
            self.on_end(run)

    def _again(self, run: LoopRun, iterator: Iterator[Any]) -> bool:
        """After the body: does the investigation want it executed again, with `run.item`?"""
        if run.attempts is not None:
            again = run.attempts.advance()
        else:
            if run.goingon is not None:
                run.goingon.leave()
            over, run.over = run.over, False
            if self.on_over(run) if over else self.on_finished(run):
                assert self.investigator is not None
                run.done = False
                try:
                    run.attempts = Attempts(run, iterator, self.investigator, self.observer)
                except NoRoom as error:
                    self.on_no_room(run, error)
                    return False
                again = run.attempts.start()
            else:
                if not run.engaged:
                    self._reconsider(run)
                if over:
                    return False
                if run.record is not None and not run.inert:
                    run.record.habit.body_ended()
                again = False
        return again or run.goingon is not None and run.goingon.advance()

    def _reconsider(self, run: LoopRun) -> None:
        # Gradient accumulation: the first step may come many iterations later, so the first snapshot is kept a while
        if run.index >= 63:
            run.watched, run.record = False, None

    def _watch(self, run: LoopRun) -> None:
        run.watched = True
        if self.on_begin is not None:
            self.on_begin(run)
        run.record = self.recorder(run)

    def _promising(self, site: int) -> bool:
        return self._barren.get(site, 0) < 2

    def _plain(self, site: int) -> bool:
        if not self.enabled or threading.get_ident() != self._thread:
            return True
        return self._barren.get(site, 0) >= BARREN_ENTRIES and site not in self._training

    def _top(self, frame: FrameType, site: int, anywhere: bool = False) -> LoopRun | None:
        runs = self._active.get(id(frame))
        if not runs:
            return None
        for run in reversed(runs) if anywhere else runs[-1:]:
            if run.number == site:
                return run
        return None


def _leave_out_this_frame(error: BaseException) -> None:
    """Take the frame that handles `error` out of its traceback; a bare `raise` does not add it again."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
