"""whynan in a loop of your own.

    for batch in whynan.watch(loader): ...          one line; everything else is discovered
    with whynan.watch(): ...                        the loops over a DataLoader inside
    guard = whynan.guard(optimizer, skip=True)      only hold back and clip updates

The source of the loop is not rewritten, so nothing can interrupt its body: after an alarm the updates of the rest of
the iteration are held back, the body ends, and then it is handed the same item again, as often as the diagnosis needs.
Where that is impossible (`zip` around the loader, `next()` by hand, a body that breaks out or raises) the
failure is explained from what was recorded, and the report says so.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from whynan import config as settings
from whynan.case.facts import Report
from whynan.config import Config
from whynan.errors import NonFiniteError, UsageError
from whynan.investigation import Target
from whynan.ongoing import Ongoing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whynan.guard.standalone import StandaloneGuard
    from whynan.replay.locate import Located
    from whynan.watch.attempts import Attempt, Outcome
    from whynan.watch.goingon import Continue
    from whynan.watch.loops import LoopRun
    from whynan.watch.sentinel import Seen

T = TypeVar("T")

DEFAULTS = {"rerun": False, "fixes": False}  # the program is the user's: no copy of it is run unless asked for
CONTINUED = 10  # failures that `on_failure="continue"` survives


def watch(loader: Iterable[T] | None = None, /, **options: Any) -> Watched[T]:
    """Watch the loop over `loader`, or (without one, in a `with`) all loops over DataLoaders.

    options: the fields of `whynan.Config`; also from [tool.whynan] of the nearest pyproject.toml and WHYNAN_*. They
    hold for the process: later calls give the same ones or none. Raises UsageError for those that cannot be meant,
    and, from the loop, NonFiniteError when training went non-finite (`on_failure="continue"`: goes on without the
    failing batch). Under `whynan run` the program is watched already, and this does nothing.
    """
    if loader is not None and not hasattr(loader, "__iter__"):
        raise UsageError(f"whynan.watch() takes something to iterate over, and got a {type(loader).__name__}.")
    return Watched(loader, Library.of_process(options))


def guard(*optimizers: Any, **options: Any) -> StandaloneGuard:
    """Hold back (`skip=True`) or clip (`clip="percentile:95"`) the updates of these optimizers, and watch nothing else.

    options: the fields of `whynan.guard.settings.Settings`. When the cap is reached the next bad update raises
    NonFiniteError. Raises UsageError for LBFGS and for options that cannot be meant.
    """
    from whynan.guard.standalone import StandaloneGuard

    return StandaloneGuard(optimizers, options)


class Watched(Generic[T]):
    """A loader under watch: length and attributes are the loader's. Also a context, see `watch`."""

    def __init__(self, loader: Iterable[T] | None, library: Library | None) -> None:
        self._whynan_loader = loader
        self._whynan = library
        self._whynan_exit = contextlib.ExitStack()

    def __iter__(self) -> Iterator[T]:
        if self._whynan_loader is None:
            raise UsageError("whynan.watch() has no loader to iterate over: give it one, or use it in a `with`.")
        items = iter(self._whynan_loader)
        library = self._whynan
        return items if library is None or not library.may_watch() else _Items(items, library)

    def __len__(self) -> int:
        return len(self._whynan_loader)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_whynan"):
            raise AttributeError(name)
        return getattr(self._whynan_loader, name)

    def __enter__(self) -> Watched[T]:
        if self._whynan is not None:
            self._whynan.renew()
            if self._whynan_loader is None:
                from whynan.watch.dataloader import replaced_iterators

                library = self._whynan
                feed = replaced_iterators(lambda items: _Items(items, library) if library.may_watch() else items)
                self._whynan_exit.enter_context(feed)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        self._whynan_exit.close()
        if self._whynan is not None:
            self._whynan.left(error)


class _Items(Iterator[T]):
    """One iteration over a watched loader."""

    def __init__(self, items: Iterator[T], library: Library) -> None:
        self._items, self._library = items, library
        self._fed: Iterator[T] | None = None

    def __next__(self) -> T:
        if self._fed is None:
            self._fed = self._library.feed(self, self._items, sys._getframe(1))
        return next(self._fed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)


class Library(Ongoing):
    """The watch of this process, for loops that are not rewritten."""

    current: Library | None = None

    def __init__(self, config: Config, options: dict[str, Any]) -> None:
        if config.watch_only:
            config = replace(config, watch_only=False, fixes=False, rerun=False)
        super().__init__(Target("script", sys.argv[0] or "session", sys.argv[1:]), config)
        from whynan.watch.source import SiteTable
        from whynan.watch.userfiles import is_user_file
        from whynan.watch.watcher import Watcher

        self.options = options
        self._why_not = ""
        self.process = os.getpid()
        self.sites = SiteTable()
        self.before_watching()
        watcher = Watcher(self.sites, is_user_file, share=config.snapshot_share, memory_mb=config.memory_mb)
        watcher.loops.optimizers_exist = True  # made before anybody watched
        watcher.ending = self.error
        watcher.loops.on_dropped = self._dropped
        self.attach(watcher)
        self._thread = threading.get_ident()
        self._print_exception, sys.excepthook = sys.excepthook, self._uncaught
        atexit.register(self._at_exit)

    @classmethod
    def of_process(cls, options: dict[str, Any]) -> Library | None:
        """The one of this process, made at the first call; None where `whynan run` watches already."""
        config = settings.load(options, defaults=DEFAULTS)
        known = cls.current
        if known is None or known.process != os.getpid():
            from whynan.watch.watcher import Watcher

            if Watcher.current is not None:
                return None
            known = cls.current = cls(config, options)
        elif options and options != known.options:
            raise UsageError(f"whynan.watch() got {options}, but this process is watched with {known.options}.")
        return known

    def may_watch(self) -> bool:
        return os.getpid() == self.process and threading.get_ident() == self._thread

    def renew(self) -> None:
        """A failure that was explained is history as soon as the program begins another loop."""
        assert self.watcher is not None
        if self.report is not None:
            self.report, self.watcher.muted, self.watcher.pending = None, False, None

    def feed(self, items: Any, inner: Iterator[Any], caller: FrameType) -> Iterator[Any]:
        """The items of `inner`, handed out as the investigation wants them."""
        from whynan.watch.consumer import Consumer
        from whynan.watch.site import site_of

        watcher = self.watcher
        assert watcher is not None
        self._close_left_behind(caller)
        self.renew()
        consumer = Consumer(items, watcher.is_user_file)
        frame = consumer.frame(caller) or caller
        return watcher.feed(self.sites.add(site_of(frame)), frame, inner, consumer)

    # failures --------------------------------------------------------------------------------------------------

    def error(self) -> NonFiniteError:
        report = self.report
        birth = report.birth if report is not None else None
        symptom = report.symptom if report is not None else None
        text = f"{symptom.name or symptom.what} is {symptom.value} at step {symptom.step}" if symptom else "not finite"
        if birth is not None and birth.file is not None:
            text += f": {birth.api or birth.op or birth.phase} at {birth.file}:{birth.line}"
        text += f" (report: {self.case})" if self.case is not None else ""
        text += f" on this or another rank: {self._apart}" if report is None and self._apart else ""
        return NonFiniteError(text, report, self.case)

    def after_explaining(self, run: LoopRun) -> Generator[Attempt, Outcome, Continue | None]:
        plan = yield from super().after_explaining(run)
        return plan or self._without_the_batch(run)

    def _without_the_batch(self, run: LoopRun) -> Continue | None:
        """`on_failure="continue"`: the failing update was held back; the loop goes on with the next item."""
        if self.config.on_failure != "continue" or run.record is None:
            return None
        from whynan.watch.goingon import Continue

        if self.survived >= CONTINUED:
            self.say("gave-up", f"gave up going on after {self.survived} failures")
            return None
        symptom = self.report.symptom if self.report is not None else None
        alarm = run.attempts.alarm_at if run.attempts is not None else run.index
        at = symptom.iteration - run.first if symptom is not None and symptom.iteration is not None else alarm
        snapshot = run.record.at_or_before(at)
        if snapshot is None:
            return None
        self.survived += 1
        self.say("continue", f"going on without the batch of iteration {run.first + at}")
        return Continue(snapshot=snapshot, drop=frozenset({at}), quiet_to=max(at, alarm))

    def _report(self, located: Located, seen: Seen) -> Report:
        report = super()._report(located, seen)
        if not self._why_not:
            return report
        notes = [note for note in report.notes if "no loop of your code" not in note]
        return replace(report, notes=(*notes, f"the failing step could not be executed again: {self._why_not}"))

    def no_loop(self, seen: Seen, stop: bool = True) -> None:
        assert self.watcher is not None
        if self.report is not None:
            return
        if stop and self.watcher.pending is not None:
            self._why_not = "what draws from whynan.watch() (zip, map, next by hand) cannot get the same item again"
        super().no_loop(seen, stop=False)
        if self.report is not None and stop:
            if self.config.on_failure == "raise":
                raise self.error()
            self.watcher.muted, self.watcher.pending = False, None

    def _close_left_behind(self, frame: FrameType | None) -> None:
        """Loops that were left while a variable of theirs still holds the iterator."""
        assert self.watcher is not None
        for run in self.watcher.loops.left_behind(frame):
            self._dropped(run)
            run.watched = False

    def _dropped(self, run: LoopRun) -> None:
        """The body left its loop: because of what is not finite?"""
        from whynan.watch.frames import read_locals
        from whynan.watch.suspicion import suspect_leaving

        watcher = self.watcher
        if not (run.library and run.watched) or watcher is None or watcher.muted or os.getpid() != self.process:
            return
        seen = watcher.pending[1] if watcher.pending is not None and watcher.pending[0] is run else None
        if run.attempts is not None:
            run.attempts.abandon()
        elif seen is None and run.record is not None and run.record.snapshots:
            seen = suspect_leaving(run.record.snapshots[-1].locals, read_locals(run.frame), watcher.sentinel.steps)
        if seen is not None:
            self._tell(seen, "the body had left its loop (break, return or an exception)")

    def left(self, error: BaseException | None) -> None:
        """The `with` is over, or the program."""
        from whynan.watch.suspicion import suspect

        watcher = self.watcher
        if watcher is None or watcher.muted or isinstance(error, (NonFiniteError, KeyboardInterrupt)):
            return
        seen = watcher.pending[1] if watcher.pending is not None else None
        if seen is None:
            seen = suspect(error, watcher.sentinel.steps) if error is not None else watcher.sentinel.last_look()
        if seen is not None:
            self._tell(seen, "the program was over, or had left its loop")
            if error is not None and self.case is not None:
                error.add_note(f"whynan: the non-finite value is explained in {self.case}")

    def _tell(self, seen: Seen, why_not: str) -> None:
        """Explain what cannot be executed again, and let the program go its way."""
        self._why_not = f"{why_not}; `whynan run` rewrites loops and can"
        self.no_loop(replace(seen, hard=True), stop=False)

    def _uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self._print_exception(kind, error, trace)
        self.ended = True
        if os.getpid() == self.process:
            self.left(error)

    def _at_exit(self) -> None:
        if os.getpid() == self.process:
            with contextlib.suppress(Exception):
                self._close_left_behind(None)
                self.left(None)
            self.concluded(self.report or Report(verdict="healthy", run=self.run_facts()))

