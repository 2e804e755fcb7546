"""Every batch by itself: one step at the initial weights for each batch, put back after each.

What a batch alone can break (an empty mask, a length of 0, two equal points, a zero target) shows here before the run
comes to it. What needs training to break does not. The steps are executed in the user's own loop, which gets another
item; a loop that draws its batch in its body goes on by itself, with its parameters put back.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy

from whynan.preflight.births import Where, where_of
from whynan.watch.attempts import Attempt, Outcome
from whynan.watch.randomness import RandomState
from whynan.watch.reachable import put_back

if TYPE_CHECKING:
    from whynan.replay.scope import Scope
    from whynan.watch.snapshot import Snapshot

EXPLAINED = 3  # failures that are looked at under the microscope
HARMLESS = 1.5  # times as large as after a step with an ordinary batch
FEW, BLIND = 3, 1000  # iterations of a loop that draws its batches in its body: to take the time, and at most


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
    name_of: Callable[[torch.Tensor, Any], str | None]  # in the step with this item
    fresh: Callable[[], None]  # forget what `next()` gave in the body, so that it draws
    deadline: float = math.inf
    done: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    finite_with: set[str] = field(default_factory=set)
    failed_with: set[str] = field(default_factory=set)

    @property
    def open(self) -> bool:
        """Is there time for another?"""
        return time.monotonic() < self.deadline

    def item(
        self, number: int, item: Any, samples: tuple[int, ...], bad: frozenset[str] = frozenset()
    ) -> Generator[Attempt, Outcome, None]:
        """The step with another item. bad: names of its tensors that hold NaN or Inf."""
        draws = _Draws(self.snapshot)
        outcome = yield self._attempt(item, draws)
        self.done += 1
        message = failed(outcome)
        if message is None:
            self.finite_with |= bad
            return
        self.failed += 1
        self.failed_with |= bad
        if len(self.failures) < EXPLAINED:
            failure = Failure(number, samples, message, raised=outcome.symptom is None)
            if not failure.raised:
                failure.where = yield from self._explain(item, draws)
            self.failures.append(failure)

    def on(self) -> Generator[Attempt, Outcome, None]:
        """The loop goes on by itself, with the parameters put back before every iteration.

        For a loop that draws its batches in its body, or gathers them over several iterations.
        """
        start = time.monotonic()
        with _Pinned(self.snapshot) as pinned:
            outcome = yield self._onwards(self.until + FEW, pinned)
            each = (time.monotonic() - start) / max(1, outcome.executed)
            more = int(min(BLIND, (self.deadline - time.monotonic()) / each))
            if outcome.ended == "done" and more > FEW:
                outcome = yield self._onwards(self.until + more, pinned)
            self.done = outcome.executed
            if (message := failed(outcome)) is None:
                return
            last = self.snapshot.index + outcome.executed - 1
            self.failed, raised = 1, outcome.symptom is None
            where = None
            if not raised:
                scope = self.scope()
                again = yield self._onwards(last, pinned, {last: scope})
                tensors = again.symptom.tensors if again.symptom is not None else []
                where = where_of(scope.trace, tensors, lambda tensor: self.name_of(tensor, None))
            self.failures.append(Failure(last, (), message, where, raised))

    def _onwards(self, until: int, pinned: _Pinned, scopes: dict[int, Scope] | None = None) -> Attempt:
        @contextlib.contextmanager
        def around(index: int) -> Iterator[None]:
            pinned.put_back()
            with (scopes or {}).get(index) or contextlib.nullcontext():
                yield

        return Attempt(snapshot=self.snapshot, until=until, around=around)

    def is_harmless(self, item: Any) -> Generator[Attempt, Outcome, bool]:
        """Does a step with this batch leave the weights as large as one with the first batch does?"""
        sizes, draws = [], _Draws(self.snapshot)
        for other in (None, item):
            outcome = yield self._attempt(other, draws)
            if failed(outcome) is not None:
                return False
            sizes.append(_size(outcome))
        return sizes[0] > 0 and sizes[1] < HARMLESS * sizes[0]

    def _attempt(self, item: Any, draws: _Draws, *, scope: Scope | None = None) -> Attempt:
        def prepare() -> None:
            self.fresh()
            draws.put_back()

        return Attempt(
            snapshot=self.snapshot,
            until=self.until,
            replace_item=lambda index, own: item if index == self.until and item is not None else own,
            prepare=prepare,
            around=None if scope is None else (lambda index: _inside(scope)),
            stop_at_symptom=scope is not None,
        )

    def _explain(self, item: Any, draws: _Draws) -> Generator[Attempt, Outcome, Where | None]:
        scope = self.scope()
        outcome = yield self._attempt(item, draws, scope=scope)
        if outcome.symptom is None:
            return None
        return where_of(scope.trace, outcome.symptom.tensors, lambda tensor: self.name_of(tensor, item))


@contextlib.contextmanager
def _inside(context: Any) -> Iterator[None]:
    with context:
        yield


def failed(outcome: Outcome) -> str | None:
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


class _Pinned:
    """The parameters of all modules and optimizers, to be put back again and again."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._found: list[torch.Tensor] = []
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __enter__(self) -> _Pinned:
        found = {id(p): p for module in self._snapshot.modules for p in module.parameters()}
        for optimizer in self._snapshot.optimizers:
            found |= {id(p): p for group in optimizer.param_groups for p in group["params"]}
        self._found = [p for p in found.values() if not is_lazy(p)]
        return self

    def __exit__(self, *exc: object) -> None:
        self._kept = []

    def put_back(self) -> None:
        """The first time, when a snapshot was just restored, their values are taken."""
        with torch.no_grad():
            if not self._kept:
                self._kept = [(p, p.detach().clone()) for p in self._found]
            for parameter, values in self._kept:
                parameter.copy_(values)


class _Draws:
    """The random states as they are now: the global ones, and those of the generators that the program owns."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._all = RandomState()
        self._own: list[tuple[Any, ...]] = []
        for kind, owner, *_ in snapshot.undo:
            if kind in _STATES:
                self._own.append((kind, owner, _STATES[kind](owner)))

    def put_back(self) -> None:
        put_back(self._own)
        self._all.restore()


_STATES: dict[str, Callable[[Any], Any]] = {
    "generator": lambda owner: owner.get_state(),
    "random": lambda owner: owner.getstate(),
    "bits": lambda owner: owner.state,
    "numpy": lambda owner: owner.get_state(),
}
