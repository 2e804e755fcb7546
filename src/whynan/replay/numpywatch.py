"""Which line of the user's numpy code divided by zero, overflowed or computed something invalid.

numpy calls back on floating-point errors when told to (`np.seterrcall`); the callback sees the line on the call stack.
Only used in re-executions and re-runs: the first run keeps numpy's own handling, and what the user sets with
`np.seterr`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whynan.case.facts import Birth, Site
from whynan.tensors.expression import site_of

_MAKES = {"divide by zero": ("inf", "nan"), "overflow": ("inf",), "invalid value": ("nan",)}


@dataclass
class Event:
    kind: str  # numpy's word
    phase: str
    site: Site  # the very operator or call of the user's line


class NumpyWatch:
    """Records floating-point errors with the user's line, from `start` to the end of the process, or in `on()`."""

    def __init__(self, is_user_file: Callable[[str], bool], phase: Callable[[], str]) -> None:
        self.events: list[Event] = []
        self._is_user_file = is_user_file
        self._phase = phase
        self._seen: set[tuple[str, Site, str]] = set()

    def start(self) -> None:
        numpy: Any = sys.modules.get("numpy")
        if numpy is None:
            return
        numpy.seterrcall(self._called)
        numpy.seterr(divide="call", over="call", invalid="call", under="ignore")
        # what the user sets must not switch the watch off
        numpy.seterr = lambda *args, **kwargs: numpy.geterr()
        numpy.errstate = _unless_raised(numpy.errstate)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """For a while; what was seen before is forgotten. Not where the program wants errors to be raised."""
        numpy: Any = sys.modules.get("numpy")
        if numpy is None or "raise" in numpy.geterr().values():
            yield
            return
        before = numpy.geterr(), numpy.geterrcall(), numpy.seterr, numpy.errstate
        self.events, self._seen = [], set()
        self.start()
        try:
            yield
        finally:
            settings, callback, numpy.seterr, numpy.errstate = before
            numpy.seterr(**settings)
            numpy.seterrcall(callback)

    def _called(self, kind: str, flag: int) -> None:
        frame: Any = sys._getframe(1)
        while frame is not None and not self._is_user_file(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is None:
            return
        event = Event(kind, self._phase(), site_of(frame.f_code, frame.f_lasti))
        key = (kind, event.site, event.phase)
        if key not in self._seen and len(self.events) < 1000:
            self._seen.add(key)
            self.events.append(event)

    def culprit(self, tensors: Sequence[Tensor]) -> Birth | None:
        """The event that can have made the bad values of `tensors`: in the fetch of the batch, else the earliest."""
        kinds = {"nan" if bool(torch.isnan(t).any()) else "inf" for t in tensors}
        fitting = [e for e in self.events if any(e.kind.startswith(w) and kinds & set(m) for w, m in _MAKES.items())]
        if not fitting:
            return None
        event = next((e for e in reversed(fitting) if e.phase == "data"), fitting[0])
        kind: Any = "nan" if "nan" in kinds else "inf"
        return Birth(
            step=0,
            iteration=None,
            phase="data" if event.phase == "data" else "init",
            kind=kind,
            op=None,
            api="numpy",
            file=event.site.file,
            line=event.site.line,
            end_line=event.site.end_line,
            column=event.site.column,
            end_column=event.site.end_column,
            source=event.site.source,
            expression=event.site.expression,
            function=event.site.function,
            note=f"numpy reported '{event.kind} encountered' in this line",
        )


def _unless_raised(real: Callable[..., Any]) -> Callable[..., Any]:
    """An `errstate` that changes nothing, unless errors are to be raised: the program may count on that."""

    @contextlib.contextmanager
    def errstate(*args: Any, **kwargs: Any) -> Iterator[None]:
        with real(*args, **kwargs) if "raise" in kwargs.values() else contextlib.nullcontext():
            yield

    return errstate
