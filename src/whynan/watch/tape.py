"""What the iterations since the oldest snapshot were fed, so that they can be executed again.

Most launch-bound loops count, and a counter needs no more than to be noted (`note`): its full entry is made when
somebody asks for it. A batch is held with its containers (`items.hold`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from whynan.watch.items import HeldItem, hold
from whynan.watch.randomness import UNTOUCHED, RandomState

EMPTY = ()  # what a `while` loop draws


class Taped:
    """What one iteration was fed: its item, the random state after the fetch, and what `next()` gave in the body."""

    __slots__ = ("item", "random", "nexts", "indices", "steps", "held")

    def __init__(
        self,
        item: Any,
        random: RandomState,
        indices: list[int] | None = None,
        steps: int = 0,
        held: HeldItem | None = None,
    ) -> None:
        self.item = item
        self.held = held if held is not None else hold(item)
        self.random = random
        self.indices = indices  # dataset indices of the batch, if a DataLoader drew it
        self.steps = steps  # optimizer steps completed before this iteration
        self.nexts: list[tuple[Any, BaseException | None, RandomState]] = []


class Tape:
    """`Taped` by iteration, oldest first."""

    def __init__(self) -> None:
        self.fed = 0  # bytes of all items so far
        self.noted: dict[int, tuple[Any, int]] = {}  # item and steps before it, of iterations that only count
        self._full: dict[int, Taped] = {}
        self._shared: dict[int, int] = {}  # containers of the items: identity, number of items

    def put(
        self, index: int, item: Any, random: RandomState, indices: list[int] | None, steps: int, copy: bool
    ) -> Taped:
        """`copy`: bodies of this loop write to their batch."""
        if index in self:
            self.drop(index)
        held = hold(item, copy, self._shared.keys())
        taped = self._full[index] = Taped(item, random, indices, steps, held)
        for container in held.containers:
            self._shared[container] = self._shared.get(container, 0) + 1
        self.fed += held.nbytes
        return taped

    def drop(self, index: int) -> None:
        if self.noted.pop(index, None) is None:
            for container in self._full.pop(index).held.containers:
                self._shared[container] -= 1
                if not self._shared[container]:
                    del self._shared[container]

    def drop_before(self, index: int) -> None:
        for i in [i for i in self if i < index]:
            self.drop(i)

    def get(self, index: int) -> Taped | None:
        if index in self.noted:
            item, steps = self.noted.pop(index)
            return self.put(index, item, UNTOUCHED, None, steps, copy=False)
        return self._full.get(index)

    def covers(self, first: int, last: int) -> bool:
        """Whether every iteration from `first` to `last` is there."""
        return all(index in self for index in range(first, last + 1))

    def latest_with(self, step: int) -> int | None:
        """The last iteration that began with no more than `step` optimizer steps completed."""
        counted = [index for index, (_, steps) in self.noted.items() if steps <= step]
        return max([*counted, *(index for index, taped in self._full.items() if taped.steps <= step)], default=None)

    def values(self) -> list[Taped]:
        return [taped for index in self if (taped := self.get(index)) is not None]

    def __contains__(self, index: int) -> bool:
        return index in self.noted or index in self._full

    def __iter__(self) -> Iterator[int]:
        return iter(sorted([*self.noted, *self._full]))

    def __len__(self) -> int:
        return len(self.noted) + len(self._full)
