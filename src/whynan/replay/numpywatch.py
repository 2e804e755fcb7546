"""Which line of the user's numpy code divided by zero, overflowed or computed something invalid.

numpy calls back on floating-point errors when told to (`np.seterrcall`); the callback sees the line on the call stack.
Only used in re-runs: the first run keeps numpy's own handling, and what the user sets with `np.seterr`.
"""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whynan.case.facts import Birth

_MAKES = {"divide by zero": ("inf", "nan"), "overflow": ("inf",), "invalid value": ("nan",)}


@dataclass
class Event:
    kind: str  # numpy's word
    phase: str
    file: str
    line: int
    function: str


class NumpyWatch:
    """Records floating-point errors with the user's line; on from construction, for the rest of the process."""

    def __init__(self, is_user_file: Callable[[str], bool], phase: Callable[[], str]) -> None:
        self.events: list[Event] = []
        self._is_user_file = is_user_file
        self._phase = phase
        self._seen: set[tuple[str, str, int, str]] = set()
        numpy: Any = sys.modules.get("numpy")
        if numpy is None:
            return
        numpy.seterrcall(self._called)
        numpy.seterr(divide="call", over="call", invalid="call", under="ignore")
        # what the user sets must not switch the watch off
        numpy.seterr = lambda *args, **kwargs: numpy.geterr()
        numpy.errstate = _unchanged

    def _called(self, kind: str, flag: int) -> None:
        frame: Any = sys._getframe(1)
        while frame is not None and not self._is_user_file(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is None:
            return
        event = Event(kind, self._phase(), frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        key = (kind, event.file, event.line, event.phase)
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
            file=event.file,
            line=event.line,
            function=event.function,
            source=linecache.getline(event.file, event.line).rstrip("\n") or None,
            note=f"numpy reported '{event.kind} encountered' in this line",
        )


@contextlib.contextmanager
def _unchanged(*args: Any, **kwargs: Any) -> Iterator[None]:
    yield


