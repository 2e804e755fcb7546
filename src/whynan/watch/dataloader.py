"""Which samples a batch consists of: the indices that the DataLoader drew for it."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import dataloader

NO_WORKERS = {"num_workers": 0, "timeout": 0, "prefetch_factor": None, "persistent_workers": False}
KEPT = 256  # batches per iterator; more than workers ever prefetch


class DrawnIndices:
    """Remembers, for each running DataLoader iterator, the indices in the order in which batches will come."""

    def __init__(self) -> None:
        self._drawn: weakref.WeakKeyDictionary[Any, tuple[int, deque[Any]]] = weakref.WeakKeyDictionary()
        self._last: weakref.ref[Any] | None = None
        self.undo = self._install()

    def _install(self) -> Callable[[], None]:
        base = dataloader._BaseDataLoaderIter
        original = base._next_index
        drawn = self

        @functools.wraps(original)
        def next_index(self: Any) -> Any:
            indices = original(self)
            count, kept = drawn._drawn.get(self) or (0, deque(maxlen=KEPT))
            kept.append(indices)
            drawn._drawn[self] = (count + 1, kept)
            drawn._last = weakref.ref(self)
            return indices

        base._next_index = next_index  # type: ignore[method-assign]
        return lambda: setattr(base, "_next_index", original)

    def dataset(self) -> Any:
        """The data set that the latest batch came from; None where no DataLoader yielded one."""
        return getattr(self._last(), "_dataset", None) if self._last is not None else None

    def latest(self) -> list[int] | None:
        """Dataset indices of the batch that was yielded last, if a map-style DataLoader yielded it."""
        if self._last is None or (iterator := self._last()) is None:
            return None
        count, kept = self._drawn.get(iterator) or (0, deque())
        ahead = count - getattr(iterator, "_num_yielded", 0)  # batches that workers were asked for in advance
        if not 0 <= ahead < len(kept):
            return None
        indices = kept[-1 - ahead]
        return list(indices) if isinstance(indices, (list, tuple)) else [indices] if isinstance(indices, int) else None


@contextlib.contextmanager
def replaced_iterators(replace: Callable[[Any], Any]) -> Iterator[None]:
    """Inside, a loop over a DataLoader draws from `replace(iterator)`."""
    kind = dataloader.DataLoader
    original = kind.__iter__

    @functools.wraps(original)
    def iterate(self: Any) -> Any:
        return replace(original(self))

    kind.__iter__ = iterate  # type: ignore[method-assign]
    try:
        yield
    finally:
        kind.__iter__ = original  # type: ignore[method-assign]


def without_workers() -> None:
    """From now on every `DataLoader` yields in this process, which is to be ended soon."""
    original = dataloader.DataLoader._get_iterator

    def in_this_process(self: Any) -> Any:
        self.__dict__.update(NO_WORKERS)
        return original(self)

    dataloader.DataLoader._get_iterator = in_this_process  # type: ignore[method-assign]
