"""How long a device worked on something, learned later: events before and after it, read when both were reached."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch

from whynan.watch.lagged import on


class TimedEvent(Protocol):
    """What is used of `torch.cuda.Event(enable_timing=True)`."""

    def record(self) -> None: ...

    def query(self) -> bool: ...

    def elapsed_time(self, end: Any) -> float: ...  # milliseconds


class Stopwatch:
    """Measures without waiting. Without events it measures nothing."""

    def __init__(self, new_event: Callable[[], TimedEvent] | None = None) -> None:
        self._new_event = new_event
        self._free: dict[torch.device, list[TimedEvent]] = {}
        self._running: deque[tuple[TimedEvent, TimedEvent, torch.device, Any]] = deque()

    @contextlib.contextmanager
    def over(self, what: Any, device: torch.device) -> Iterator[None]:
        """Time what is launched there inside; `what` comes back with the seconds. Nothing comes back if it raises."""
        if self._new_event is None:
            yield
            return
        free = self._free.setdefault(device, [])
        begin, end = (free.pop() if free else self._new_event() for _ in range(2))
        with on(device):
            begin.record()
            yield
            end.record()
        self._running.append((begin, end, device, what))

    def finished(self) -> Iterator[tuple[Any, float]]:
        """What the device has finished by now, oldest first, and the seconds that it took."""
        while self._running and self._running[0][1].query():
            begin, end, device, what = self._running.popleft()
            seconds = begin.elapsed_time(end) / 1e3
            self._free[device] += [begin, end]
            yield what, seconds
