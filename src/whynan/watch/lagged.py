"""Numbers on their way from a device to the host, without waiting for it.

Reading a number of a CUDA tensor makes the host wait until the device has done all that was asked of it, which costs a
launch-ahead program dearly. So numbers are copied to pinned memory behind the work that makes them, an event marks the
place, and what has arrived is read when the host comes by again, mostly one step later. Failures are therefore seen
late by that much; the ring of snapshots reaches further back. Devices other than CUDA are waited for.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

DEEPEST = 2048  # copies under way, more than a launch queue holds; beyond that the oldest is waited for


class Event(Protocol):
    """What is used of `torch.cuda.Event`."""

    def record(self) -> None: ...

    def query(self) -> bool: ...

    def synchronize(self) -> None: ...


class Arrived:
    """The event of a copy that was waited for."""

    def record(self) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass


class Lagged:
    """A queue of copies under way, in the order in which they were sent."""

    def __init__(self, new_event: Callable[[], Event] | None = None, pinned: bool | None = None) -> None:
        """`pinned`: copy behind the device's work, to pinned memory (None: where there is CUDA)."""
        cuda = torch.cuda.is_available()
        self._new_event = new_event or (torch.cuda.Event if cuda else Arrived)
        self._pinned = cuda if pinned is None else pinned
        self._under_way: deque[tuple[Any, Event, Tensor, Any]] = deque()
        self._slots: dict[Any, list[tuple[Event, Tensor]]] = {}  # free ones, by device, size and dtype

    def send(self, values: Tensor, what: Any) -> None:
        """Start copying `values`; `what` comes back with their numbers."""
        key = (values.device, values.numel(), values.dtype)
        free = self._slots.get(key)
        if free:
            event, slot = free.pop()
        else:
            event, slot = self._new_event(), torch.empty(values.numel(), dtype=values.dtype, pin_memory=self._pinned)
        slot.copy_(values.detach().reshape(-1), non_blocking=self._pinned)
        with on(values.device):  # an event belongs to one device, and the copy was put into the queue of this one
            event.record()
        self._under_way.append((key, event, slot, what))

    def arrived(self, wait: bool = False) -> Iterator[tuple[Any, list[float]]]:
        """What is there by now, oldest first; with `wait` everything that was sent."""
        while self._under_way:
            key, event, slot, what = self._under_way[0]
            if wait or len(self._under_way) > DEEPEST:
                event.synchronize()
            elif not event.query():
                return
            self._under_way.popleft()
            numbers = slot.tolist()
            self._slots.setdefault(key, []).append((event, slot))
            yield what, numbers

    def __len__(self) -> int:
        """Copies under way."""
        return len(self._under_way)

    def forget(self) -> None:
        """Drop what is under way: the state it speaks of was put back."""
        while self._under_way:
            key, event, slot, _ = self._under_way.popleft()
            event.synchronize()
            self._slots.setdefault(key, []).append((event, slot))


def on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Inside, `device` is the current one of CUDA; others need no such thing."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def capturing() -> bool:
    """A CUDA graph is being recorded: nothing may be read, and nothing of ours should end up in it."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
