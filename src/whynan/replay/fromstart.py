"""Questions that only a run from the start can answer, as the program that is explained asks them.

- `origin`: a value was already non-finite when the failing iteration began, or came with its batch. The re-run keeps
  the microscope on while the program sets itself up and while the batch in question is fetched, watches numpy's
  floating-point errors, and says which line made it.
- `watch`: a buffer or state entry went bad in some earlier step that no snapshot reaches. The re-run looks at that
  tensor after every iteration and explains the one in which it turns.
- `alarm`: no loop could be re-executed. The re-run puts the microscope on just before the failing step.

What the re-run does with them: `pursuit.py`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from whynan.case.facts import Batch, Birth, PathStep
from whynan.case.serial import record_from
from whynan.replay.histograms import histograms_of_one
from whynan.replay.locate import Located
from whynan.replay.rerun import Spare
from whynan.replay.story import joined
from whynan.watch.sentinel import Seen
from whynan.watch.watcher import Watcher


def entropy() -> dict[str, Any]:
    """Random states that were seeded from the operating system at import and have to be the same in a re-run."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "random"):
        return {}
    kind, keys, position, has_gauss, cached = numpy.random.get_state()
    return {"numpy": [kind, keys.tolist(), int(position), int(has_gauss), float(cached)]}


def is_incomplete(located: Located) -> bool:
    """Does the re-execution leave open where the value came from?"""
    by_numpy = located.birth is not None and located.birth.api == "numpy"  # the line is known
    return (located.source is not None and not by_numpy) or (located.birth is None and located.reproduced == "no")


def complete(located: Located, spare: Spare, watcher: Watcher, timeout: float) -> Located:
    """Ask for the origin of a value that came in from outside of the re-executed iterations."""
    if located.source is None or located.run is None:
        if located.birth is None and located.reproduced == "no":
            again = scope_again(located.seen, spare, watcher, timeout)
            return again if again is not None else located
        return located
    goal = {
        "kind": "origin",
        "site": located.run.number,
        "iteration": located.iteration,
        "first": located.run.first,
        "want": [located.source.kind, located.source.name],
    }
    reply = spare.rerun(goal, timeout)
    if reply is not None and reply.get("found"):
        return _merge(located, reply)
    if located.source.kind not in ("item", "local"):
        reply = spare.rerun({**goal, "kind": "watch"}, timeout)
        if reply is not None and reply.get("found"):
            return _merge(located, reply)
    if located.birth is None:
        located.birth = _entered(located, reply)
    return located


def scope_again(seen: Seen, spare: Spare | None, watcher: Watcher, timeout: float) -> Located | None:
    """No loop could be re-executed: run again with the microscope on from just before step `seen.step`."""
    if spare is None:
        return None
    reply = spare.rerun(
        {"kind": "alarm", "step": seen.step, "backwards": watcher.sentinel.backwards, "what": seen.what}, timeout
    )
    if reply is None or not reply.get("found"):
        return None
    return _merge(Located(seen, seen.step, reply.get("iteration") or seen.step, reproduced="rerun"), reply)


def nothing_known(seen: Seen) -> Located:
    located = Located(seen, seen.step, seen.step)
    located.notes.append("the failing step could not be executed again: no loop of your code contains it")
    return located


def _merge(located: Located, reply: dict[str, Any]) -> Located:
    located.notes += reply.get("notes", [])
    located.reproduced = "rerun" if located.reproduced == "no" else located.reproduced
    birth: Birth = record_from(Birth, reply["birth"])
    before = located.birth
    if before is not None and before.phase == "data":  # the batch's facts stay: rows, columns, element counts
        birth = replace(birth, phase="data", step=before.step, iteration=before.iteration, tensor=before.tensor,
                        rows=before.rows or birth.rows, note=before.note or birth.note,
                        histograms=birth.histograms or before.histograms)  # fmt: skip
    located.birth = birth
    located.path = joined(tuple(record_from(PathStep, step) for step in reply.get("path", [])), located.path)
    located.batch = tuple(record_from(Batch, one) for one in reply.get("batch", [])) or located.batch
    return located


def _entered(located: Located, reply: dict[str, Any] | None) -> Birth:
    """The best that can be said of a tensor that was non-finite before anything could be observed."""
    from whynan.tensors.look import look

    assert located.source is not None and located.source_tensor is not None
    facts = look(located.source_tensor, located.source.name)
    return Birth(
        step=0,
        iteration=0,
        phase="init",
        kind="nan" if facts.nan else "inf",
        op=None,
        module=located.source.module,
        tensor=located.source.name,
        outputs=(facts,),
        histograms=histograms_of_one(located.source_tensor, located.source.name),
        note="already non-finite before the step began; the line that made it could not be observed",
    )
