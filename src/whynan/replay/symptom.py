"""Which iterations may have gone wrong, and is the symptom of a re-execution the one that is being explained?

The always-on look passes over steps where it would cost too much. So what it sees may have been bad for some steps; a
re-execution looks at everything, and the first thing that it sees is where the failure began.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from torch import Tensor

from whynan.tensors.many import is_finite
from whynan.watch.attempts import Attempt, Outcome
from whynan.watch.frames import read_locals
from whynan.watch.loops import LoopRun
from whynan.watch.seen import Seen
from whynan.watch.snapshot import Snapshot
from whynan.watch.suspicion import suspect
from whynan.watch.watcher import Watcher


def first_suspect(run: LoopRun, seen: Seen, watcher: Watcher) -> int:
    """The first iteration that may have gone wrong: what is looked at now and then may have been bad for some steps."""
    assert run.record is not None
    record, first = run.record, run.index
    if seen.what in ("parameter", "state", "buffer"):
        first = min(first, record.clean_at + 1)
    steps = [seen.step] if seen.what in ("loss", "gradient") else []
    steps += [watcher.sentinel.unseen] if watcher.sentinel.unseen is not None else []
    iterations = [i for step in steps if (i := record.iteration_of(step)) is not None]
    return max(0, min([first, *iterations]))


def is_late(seen: Seen, watcher: Watcher) -> bool:
    """Whether what was seen may be some steps old."""
    return seen.what in ("parameter", "state", "buffer") or watcher.sentinel.unseen is not None


def narrow(
    run: LoopRun, seen: Seen, watcher: Watcher, snapshot: Snapshot
) -> Generator[Attempt, Outcome, tuple[int, int]]:
    """Execute again without the microscope, looking at everything: the iteration to begin with, and the step."""
    assert run.record is not None
    index = run.index
    outcome = yield Attempt(snapshot=snapshot, until=index, buffers=seen.what == "buffer")
    found = same_symptom(seen, outcome, run, watcher)
    return run.record.update_start(run.index if found is not None else index), (found or seen).step


def same_symptom(seen: Seen, outcome: Outcome, run: LoopRun, watcher: Watcher) -> Seen | None:
    """The alarm of the re-execution, if it is the one that is being explained."""
    if outcome.symptom is not None:
        again = outcome.symptom
        every_step = ("loss", "gradient")
        if again.what in every_step and seen.what in every_step:  # another step is another failure
            return again if again.step == seen.step or _passed_over(again, seen, watcher) else None
        # parameters and state are looked at after every step now, and may turn out to have been bad for some
        return again if again.what == seen.what or seen.hard else None
    if outcome.ended == "exception" and outcome.error is not None and seen.error is not None:
        return suspect(outcome.error, seen.step)
    if seen.what == "buffer" and all(not is_finite(t) for t in seen.tensors):
        return seen
    if seen.what == "output":
        return replace(seen) if all(not is_finite(t) for t in seen.tensors) else None
    if seen.what == "loss" and seen.name is not None:  # noticed by the program itself, which then left the loop
        value = read_locals(run.frame).get(seen.name)
        if isinstance(value, Tensor) and not is_finite(value):
            return replace(seen, tensors=[value])
    return None


def _passed_over(again: Seen, seen: Seen, watcher: Watcher) -> bool:
    """The gradients of an earlier step, which nobody looked at when it was executed first."""
    if again.what != "gradient" or again.step > seen.step:
        return False
    return all(step != again.step for step, _, _ in watcher.sentinel.history.grad_norms)
