"""The first updates of the run, for a few seconds: what training breaks at once shows here.

A learning rate that is far too high, a loss that runs away, an eps that a few steps reach. The iterations are executed
in the user's own loop, one after the other as the run would, without effect; nothing says that the run stays finite
after them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from whynan.case.preflight import Problem
from whynan.preflight.births import where_of
from whynan.preflight.step import failed_later
from whynan.preflight.tries import failed
from whynan.replay.names import flatten
from whynan.watch.attempts import Attempt, Outcome

if TYPE_CHECKING:
    from whynan.replay.scope import Scope
    from whynan.watch.loops import LoopRun
    from whynan.watch.snapshot import Snapshot

FEW, MOST = 3, 50  # iterations: to take the time, and at most
SHARE = 1 / 8  # of the seconds that the data may take
BYTES = 256 << 20  # of batches that are kept meanwhile


@dataclass
class Early:
    """`problem` is what broke, `executed` how many iterations there were."""

    snapshot: Snapshot
    scope: Callable[[], Scope]
    name_of: Callable[[Tensor, Any], str | None]
    seconds: float
    executed: int = 0
    problem: Problem | None = field(default=None)

    def look(self, run: LoopRun) -> Generator[Attempt, Outcome, None]:
        """Iterations from the first on; the failing one again under the microscope."""
        last, start = run.index, time.monotonic()
        outcome = yield Attempt(snapshot=self.snapshot, until=last + FEW)
        each = (time.monotonic() - start) / max(1, outcome.executed)
        most = min(MOST, int(self.seconds * SHARE / max(each, 1e-4)), BYTES // max(1, _nbytes(run.item)))
        if outcome.ended == "done" and most > FEW:
            outcome = yield Attempt(snapshot=self.snapshot, until=last + most)
        self.executed = outcome.executed
        if (message := failed(outcome)) is None:
            return
        at = self.snapshot.index + outcome.executed - 1
        scope, seen = self.scope(), outcome.symptom
        if seen is None:  # it raises
            self.problem = failed_later(message, at - last, None, raised=True)
            return

        @contextlib.contextmanager
        def around(index: int) -> Iterator[None]:
            with scope if index == at else contextlib.nullcontext():
                yield

        again = yield Attempt(snapshot=self.snapshot, until=at, around=around)
        tensors = again.symptom.tensors if again.symptom is not None else []
        where = where_of(scope.trace, tensors, lambda tensor: self.name_of(tensor, run.item))
        self.problem = failed_later(message, at - last, where)


def _nbytes(item: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for _, tensor in flatten(item))
