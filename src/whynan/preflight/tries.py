"""Every batch by itself: one step at the initial weights for each batch, put back after each.

What a batch alone can break (an empty mask, a length of 0, two equal points, a zero target) shows here before the run
comes to it. What needs training to break does not. The steps are executed in the user's own loop, which gets another
item; a loop that draws its batch in its body gets other random numbers instead.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from whynan.preflight.births import Where, where_of
from whynan.watch.attempts import Attempt, Outcome

if TYPE_CHECKING:
    from whynan.replay.scope import Scope
    from whynan.watch.snapshot import Snapshot

EXPLAINED = 3  # failures that are looked at under the microscope
SAME = 4  # steps that came out the same: the loop sees one batch only
HARMLESS = 1.5  # times as large as after a step with an ordinary batch
BLIND = 64  # steps of a loop that draws its batches in its body


@dataclass
class Failure:
    """One batch with which the step fails. `where` is None where it raises, or was not looked at any more."""

    number: int  # of the batch, in the order of the loop
    samples: tuple[int, ...]
    message: str
    where: Where | None = None
    raised: bool = False


@dataclass
class Tries:
    """What came of it. `finite_with` holds the tensors that held NaN or Inf in a batch that went through."""

    snapshot: Snapshot
    until: int  # the iteration whose item is exchanged
    scope: Callable[[], Scope]
    name_of: Callable[[torch.Tensor], str | None]  # of the first step; tensors of another item have no name
    fresh: Callable[[], None]  # forget what `next()` gave in the body, so that it draws
    deadline: float = math.inf
    done: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    finite_with: set[str] = field(default_factory=set)
    failed_with: set[str] = field(default_factory=set)
    _alike: int = 0
    _last: Any = None

    @property
    def open(self) -> bool:
        """Is there time for another?"""
        return time.monotonic() < self.deadline

    def item(
        self, number: int, item: Any, samples: tuple[int, ...], bad: frozenset[str] = frozenset()
    ) -> Generator[Attempt, Outcome, None]:
        """The step with another item. bad: names of its tensors that hold NaN or Inf."""
        outcome = yield self._attempt(item, number)
        self.done += 1
        self._note_alike(outcome)
        message = _failed(outcome)
        if message is None:
            self.finite_with |= bad
            return
        self.failed += 1
        self.failed_with |= bad
        if len(self.failures) < EXPLAINED:
            failure = Failure(number, samples, message, raised=outcome.symptom is None)
            if not failure.raised:
                failure.where = yield from self._explain(item, number)
            self.failures.append(failure)

    def blind(self, items: Iterator[Any]) -> Generator[Attempt, Outcome, None]:
        """The step with the numbers that the loop would count to, and other random numbers, as long as they matter."""
        for number, item in zip(range(1, BLIND + 1), items, strict=False):
            if not self.open or self._alike >= SAME:
                return
            yield from self.item(number, item, ())

    def is_harmless(self, number: int, item: Any) -> Generator[Attempt, Outcome, bool]:
        """Does a step with this batch leave the weights as large as one with the first batch does?"""
        sizes = []
        for other in (None, item):
            outcome = yield self._attempt(other, number)
            if _failed(outcome) is not None:
                return False
            sizes.append(_size(outcome))
        return sizes[0] > 0 and sizes[1] < HARMLESS * sizes[0]

    def _attempt(self, item: Any, number: int, *, scope: Scope | None = None) -> Attempt:
        return Attempt(
            snapshot=self.snapshot,
            until=self.until,
            replace_item=lambda index, own: item if index == self.until and item is not None else own,
            prepare=lambda: self._prepare(number),
            around=None if scope is None else (lambda index: _inside(scope)),
            stop_at_symptom=scope is not None,
        )

    def _prepare(self, number: int) -> None:
        self.fresh()
        _other_random_numbers(number)

    def _explain(self, item: Any, number: int) -> Generator[Attempt, Outcome, Where | None]:
        scope = self.scope()
        outcome = yield self._attempt(item, number, scope=scope)
        if outcome.symptom is None:
            return None
        return where_of(scope.trace, outcome.symptom.tensors, self.name_of)

    def _note_alike(self, outcome: Outcome) -> None:
        """Steps that measure the same as the one before saw the same batch."""
        print_ = repr(outcome.fingerprints)
        self._alike = self._alike + 1 if print_ == self._last else 0
        self._last = print_


@contextlib.contextmanager
def _inside(context: Any) -> Iterator[None]:
    with context:
        yield


def _failed(outcome: Outcome) -> str | None:
    """What went wrong in a step, in words; None where nothing did."""
    seen = outcome.symptom
    if seen is not None and seen.hard:
        name = f" of {seen.name}" if seen.name else ""
        return f"the {seen.what}{name} becomes {seen.value}"
    error = outcome.error
    if outcome.ended == "exception" and isinstance(error, (IndexError, ValueError, RuntimeError, ArithmeticError)):
        return f"the step raises {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None


def _size(outcome: Outcome) -> float:
    """Norm of all parameters after the step."""
    norms = [size for kind, _, sizes in outcome.fingerprints if kind == "param" for size in sizes]
    return math.hypot(*norms)


def _other_random_numbers(seed: int) -> None:
    random.seed(seed)
    torch.manual_seed(seed)
    import numpy

    numpy.random.seed(seed)
