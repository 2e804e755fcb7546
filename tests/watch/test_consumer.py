"""Who draws the items, and can the same one be handed out again?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from whynan.watch.consumer import Consumer

SOURCE = """
class Items:
    def __init__(self, count, twice, is_user_file):
        self.left, self.twice, self.last, self.possible = list(range(count)), list(twice), -1, []
        self.consumer = Consumer(self, is_user_file)

    def __iter__(self):
        return self

    def __next__(self):
        if self.last in self.twice:
            self.twice.remove(self.last)
            self.possible.append(self.consumer.repeats(self.last))
            if self.possible[-1]:
                self.consumer.seek(self.last)
                return self.last
        if not self.left:
            raise StopIteration
        self.last = self.left.pop(0)
        return self.last
"""
_library = {"__name__": "whynan.elsewhere", "Consumer": Consumer}  # its frames are not the user's
exec(compile(SOURCE, "elsewhere.py", "exec"), _library)


def Items(count: int, twice: tuple[int, ...]) -> Any:  # noqa: N802
    """Hands out 0, 1, 2, ...; every item that is in `twice` a second time, if that is possible."""
    return _library["Items"](count, twice, lambda file: file == __file__)  # type: ignore[operator]


def passing_on(items: Any) -> Iterator[Any]:
    for item in items:  # noqa: UP028
        yield item


def test_a_loop() -> None:
    items = Items(4, (1, 2))
    assert [x for x in loop(items)] == [0, 1, 1, 2, 2, 3] and items.possible == [True, True]


def loop(items: Any) -> list[Any]:
    seen = []
    for item in items:
        seen.append(item)
    return seen


@pytest.mark.parametrize("start", [0, 5])
def test_enumerate_counts_as_if_nothing_had_been(start: int) -> None:
    items = Items(4, (1, 2))
    assert loop(enumerate(items, start)) == [(start + x, x) for x in (0, 1, 1, 2, 2, 3)]
    assert items.possible == [True, True]


def test_enumerate_of_enumerate() -> None:
    items = Items(3, (1,))
    assert loop(enumerate(enumerate(items))) == [(x, (x, x)) for x in (0, 1, 1, 2)]


def test_generators_that_pass_on() -> None:
    items = Items(3, (1,))
    assert loop(enumerate(passing_on(items))) == [(0, 0), (1, 1), (1, 1), (2, 2)]


@pytest.mark.parametrize(
    "around", [lambda i: zip(range(9), i), lambda i: map(str, i), lambda i: __import__("itertools").islice(i, 9)]
)
def test_what_draws_from_more_than_the_loop(around: Any) -> None:
    items = Items(4, (1,))
    assert len(loop(around(items))) == 4 and items.possible == [False]


def test_next_by_hand() -> None:
    items = Items(4, (1,))
    assert [next(items), next(items), next(items)] == [0, 1, 2] and items.possible == [False]


def test_it_does_not_keep_the_iterator_alive() -> None:
    items = Items(2, ())
    assert sys.getrefcount(items) == 2
