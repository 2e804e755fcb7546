"""Who asks for the items of a watched iterable, and can the same item be handed out twice?

`for batch in watch(loader)` can: the loop takes whatever comes next as its next item. `enumerate` around it counts on,
so its counter is put back. Progress bars and generators of the user's pass items on. `zip` and `map` would draw from
their other iterators too, and after `next(...)` in a body nobody knows where that body began: for these the answer
is no, and the failure is explained without being executed again.
"""

from __future__ import annotations

import ctypes
import dis
import gc
import inspect
import sys
import weakref
from collections.abc import Callable, Iterator
from types import FrameType, GeneratorType
from typing import Any

_FOR_ITER = dis.opmap["FOR_ITER"]
_COUNTER = object.__basicsize__  # bytes; `en_index` is the first field of CPython's enumerate object
_BARS = frozenset({"tqdm", "rich", "alive_progress", "fastprogress", "progressbar"})


class Consumer:
    """The consumer of `iterator`, an object of ours whose `__next__` is called by the user's code."""

    def __init__(self, iterator: Any, is_user_file: Callable[[str], bool]) -> None:
        self._iterator = weakref.ref(iterator)  # it has to end when the loop drops it
        self._is_user_file = is_user_file
        self._counters: list[tuple[int, int]] = []  # addresses of enumerate objects, and what they count from

    def frame(self, caller: FrameType | None) -> FrameType | None:
        """The frame of the user's loop: the first that is no generator which only passes items on."""
        frames = [f for f in _outward(caller) if self._is_user_file(f.f_code.co_filename)]
        loops = [f for f in frames if not f.f_code.co_flags & inspect.CO_GENERATOR]
        return next(iter(loops or frames), None)

    def repeats(self, index: int) -> bool:
        """Called inside of `__next__`, after iteration `index`: can items be handed out again? Prepares `seek`."""
        self._counters = []
        caller = next((f for f in _outward(sys._getframe(1)) if not _is_ours(f)), None)
        target = self.frame(caller)
        links: list[Any] = [self._iterator()]
        for frame in _outward(caller):
            if frame.f_code.co_code[frame.f_lasti] != _FOR_ITER:
                return False
            if frame is target:
                break
            if not frame.f_code.co_flags & inspect.CO_GENERATOR or not self._passes_on(frame):
                return False
            links.append(_generator_of(frame))
        if target is None:
            return False
        return all(self._adjustable(link, index) for link in links)

    def seek(self, index: int) -> None:
        """Make the counters around say `index` for the item that is handed out next."""
        for address, offset in self._counters:
            ctypes.c_ssize_t.from_address(address + _COUNTER).value = offset + index

    def _passes_on(self, frame: FrameType) -> bool:
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        return self._is_user_file(frame.f_code.co_filename) or module in _BARS

    def _adjustable(self, link: Any, index: int) -> bool:
        for holder in gc.get_referrers(link):
            if isinstance(holder, enumerate):
                count = _read(holder)
                if count is None:
                    return False
                self._counters.append((id(holder), count - (index + 1)))
                if not self._adjustable(holder, index):
                    return False
            elif type(holder).__module__ == "itertools" or isinstance(holder, tuple) and _of_zip(holder):
                return False
        return True


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _generator_of(frame: FrameType) -> Any:
    return next((g for g in gc.get_objects() if isinstance(g, GeneratorType) and g.gi_frame is frame), None)


def _of_zip(holder: tuple[Any, ...]) -> bool:
    return any(isinstance(user, (zip, map)) for user in gc.get_referrers(holder))


def _read(counter: Any) -> int | None:
    """The count of an enumerate object, if it lies where `seek` would write it."""
    told = counter.__reduce__()[1][1]
    stored = ctypes.c_ssize_t.from_address(id(counter) + _COUNTER).value
    return told if told == stored else None


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("whynan.")
