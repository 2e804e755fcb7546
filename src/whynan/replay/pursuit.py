"""What a re-run does to answer a question of `fromstart.py`: which line made the value that the step was given."""

from __future__ import annotations

import contextlib
import math
import sys
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from whynan.case.facts import Birth, PathStep
from whynan.case.serial import plain
from whynan.replay.batch import batch_of
from whynan.replay.births import Finding, birth_from, facts_of
from whynan.replay.capture import ship
from whynan.replay.figures import figure
from whynan.replay.locate import Located
from whynan.replay.names import Names, flatten, root_modules
from whynan.replay.numpywatch import NumpyWatch
from whynan.replay.rerun import answer
from whynan.replay.scope import Scope
from whynan.replay.story import path_from
from whynan.replay.tables import failing_batch
from whynan.tensors.many import is_finite
from whynan.watch.dataloader import without_workers
from whynan.watch.loops import LoopRun
from whynan.watch.quarantine import no_side_effects
from whynan.watch.sentinel import Seen
from whynan.watch.suspicion import suspect
from whynan.watch.watcher import Watcher

_contained = contextlib.ExitStack()  # of a re-run, to its end


def pursue(goal: dict[str, Any], watcher: Watcher, session: Any) -> None:
    """Called right after torch was imported, in a re-run."""
    _contained.enter_context(no_side_effects())
    if "numpy" in goal and "numpy" in sys.modules:
        kind, keys, position, has_gauss, cached = goal["numpy"]
        numpy = sys.modules["numpy"]
        numpy.random.set_state((kind, numpy.array(keys, dtype=numpy.uint32), position, has_gauss, cached))
    kinds = {"origin": _Origin, "watch": _Watch, "alarm": _Alarm}
    if goal["kind"] in kinds:  # else the session asks for something of its own
        kinds[goal["kind"]](goal, watcher)


class _Origin:
    """Observes set-up and one fetch, then follows the wanted tensor back."""

    def __init__(self, goal: dict[str, Any], watcher: Watcher) -> None:
        self.goal = goal
        self.watcher = watcher
        self.phase = "init"
        without_workers()  # what makes a sample is to be seen here
        self.numpy = NumpyWatch(watcher.is_user_file, lambda: self.phase)
        self.numpy.start()
        self.scope = Scope(is_user_file=watcher.is_user_file, roots=None, phase=lambda: self.phase)
        self.open = False
        self.gap: float = math.inf  # first record after the execution of the loop before the one in question
        watcher.muted = True
        watcher.hooks.on_backward = self._training_begins
        watcher.loops.on_finished = self._finished
        watcher.loops.on_yield = self._yielding
        watcher.loops.on_end = self._ended
        watcher.loops._training.add(goal["site"])
        self._observe(True)

    def _observe(self, on: bool) -> None:
        if on != self.open:
            self.open = on
            self.scope.__enter__() if on else self.scope.__exit__(None, None, None)

    def _training_begins(self, tensors: tuple[Any, ...]) -> None:
        if self.phase == "init":
            self._observe(False)
            self.phase = "training"

    def _finished(self, run: LoopRun) -> bool:
        if run.number == self.goal["site"] and run.iteration == self.goal["iteration"] - 1:
            self.phase = "data"
            self._observe(True)
        return False

    def _ended(self, run: LoopRun) -> None:
        """Between two executions of the training loop: what the program does there decided how the next one begins."""
        if run.number == self.goal["site"] and 0 < run.iteration + 1 == self.goal["first"]:
            self.phase, self.gap = "init", len(self.scope.trace.records)
            self._observe(True)

    def _yielding(self, run: LoopRun) -> None:
        if run.number == self.goal["site"] and run.iteration == self.goal["first"] < self.goal["iteration"]:
            self._observe(False)
        if run.number != self.goal["site"] or run.iteration != self.goal["iteration"]:
            return
        self._observe(False)
        kind, name = self.goal["want"]
        names = Names(root_modules())
        assert run.record is not None
        variables = dict(run.frame.f_locals)
        names.add_item(run.item, variables)
        names.add_locals(variables)
        candidates: list[Tensor] = [t for _, t in flatten(run.item) if not is_finite(t)] if kind == "item" else []
        if kind != "item":
            candidates = [t for t in names.tensors() if (n := names.of(t)) and n.name == name and not is_finite(t)]
        findings = [
            f for t in candidates if (f := self.scope.trace.births_reaching(t)) is not None and f.birth is not None
        ]
        if findings:
            finding = min(findings, key=lambda f: f.birth.index)  # type: ignore[union-attr]
            assert finding.birth is not None
            known = names.of(candidates[0])
            late = finding.birth.phase == "data" or finding.birth.index >= self.gap
            step, iteration = (self.watcher.sentinel.steps, run.iteration) if late else (0, 0)
            birth = birth_from(finding, self.scope.trace, step, iteration)
            assert birth is not None
            birth = replace(birth, tensor=name, module=known.module if known else None)
            ship(self.goal, self.scope.trace, finding, names)
            path = path_from(finding, self.scope.trace)
            _found(self.goal, birth, path, notes=finding.notes)
        event = self.numpy.culprit(candidates)
        if event is not None:
            _found(self.goal, replace(event, tensor=name, step=self.watcher.sentinel.steps), ())
        answer(self.goal, {"found": False, "candidates": len(candidates)})


class _Watch:
    """Looks at one named tensor after every iteration; the normal investigation explains the iteration it turns in."""

    def __init__(self, goal: dict[str, Any], watcher: Watcher) -> None:
        self.kind, self.name = goal["want"]
        self.tensor: Tensor | None = None
        self.known_bad = False
        watcher.extra = self.look

    def look(self) -> Seen | None:
        if self.tensor is None:
            names = Names(root_modules())
            self.tensor = next((t for t in names.tensors() if (n := names.of(t)) and n.name == self.name), None)
            self.known_bad = self.tensor is not None and not is_finite(self.tensor)
        if self.tensor is None or self.known_bad or is_finite(self.tensor):
            return None
        return Seen("buffer", self.name, "nan" if bool(torch.isnan(self.tensor).any()) else "inf", [self.tensor])


class _Alarm:
    """Microscope on from the end of step `step - 1` until the alarm comes again."""

    current: _Alarm | None = None

    def __init__(self, goal: dict[str, Any], watcher: Watcher) -> None:
        _Alarm.current = self
        self.goal = goal
        self.watcher = watcher
        self.scope = Scope(is_user_file=watcher.is_user_file, roots=lambda: root_modules(), phase=None)
        self.open = False
        self.marks: list[tuple[int, int]] = []
        watcher.loops.optimizers_exist = False
        watcher.loops.enabled = False  # nothing is re-executed here
        watcher.sentinel.on_step = self._stepped
        watcher.hooks.evaluation.on_bad = self._returned_nan
        self._stepped()

    def _stepped(self) -> None:
        steps = self.watcher.sentinel.steps
        self.marks.append((len(self.scope.trace.records), steps))
        if steps >= self.goal["step"] and not self.open:
            self.open = True
            self.scope.__enter__()

    def _returned_nan(self, call: int, tensors: list[Tensor]) -> None:
        if self.goal["what"] == "output":
            self.seen(Seen("output", None, "nan", tensors))

    def seen(self, seen: Seen) -> None:
        if self.open:
            self.scope.__exit__(None, None, None)
        if self.goal["what"] in ("loss", "gradient") and seen.step != self.goal["step"]:
            answer(self.goal, {"found": False})  # it fails, but not as before
        reaching = [f for t in seen.tensors[:8] if (f := self.scope.trace.births_reaching(t)) is not None]
        names = Names(root_modules())
        reaching = [f.instead if f.instead is not None and _source(names, f) is None else f for f in reaching]
        findings = [f for f in reaching if f.birth]
        if not findings:
            self._came_in(reaching, names, seen)
        finding = min(findings, key=lambda f: f.birth.index)  # type: ignore[union-attr]
        assert finding.birth is not None
        step = next((s for first, s in reversed(self.marks) if first <= finding.birth.index), seen.step)
        birth = birth_from(finding, self.scope.trace, step, None, lambda t: _known(names, t))
        assert birth is not None
        self._answer(finding, birth, names)

    def _came_in(self, findings: list[Finding], names: Names, seen: Seen) -> None:
        """No op made it: it was there when the step began, in a parameter or, without a name, in the data."""
        finding = next((f for f in findings if f.source is not None and f.path), None)
        if finding is None:
            answer(self.goal, {"found": False})
        elif (birth := birth_from(finding, self.scope.trace, seen.step, None, lambda t: _known(names, t))) is not None:
            assert finding.source is not None
            phase = "data" if _source(names, finding) is None else "init"
            birth = replace(
                birth,
                op=None,
                phase=phase,  # type: ignore[arg-type]
                outputs=facts_of([finding.source]),
            )
            self._answer(finding, birth, names)

    def _answer(self, finding: Finding, birth: Birth, names: Names) -> None:
        trace = self.scope.trace
        ship(self.goal, trace, finding, names)
        path = path_from(finding, trace)
        until = finding.birth.index if finding.birth is not None else None
        batch = figure(finding.notes, "table of the batch", lambda: batch_of(None, 0, names, trace, until), ())
        _found(self.goal, birth, path, notes=finding.notes, batch=plain(batch))


def _source(names: Names, finding: Finding) -> str | None:
    tensor = finding.source.tensor if finding.source is not None else None
    return _known(names, tensor) if tensor is not None else None


def _known(names: Names, tensor: Tensor) -> str | None:
    name = names.of(tensor)
    return name.name if name is not None else None


def alarm(goal: dict[str, Any], watcher: Watcher, seen: Seen) -> None:
    """The sentinel of a re-run saw something outside of any loop."""
    if _Alarm.current is not None:
        _Alarm.current.seen(seen)


def last_words(goal: dict[str, Any], watcher: Watcher, error: BaseException) -> None:
    """The re-run program ended with an exception."""
    seen = suspect(error, watcher.sentinel.steps)
    if seen is not None and _Alarm.current is not None:
        _Alarm.current.seen(seen)


def found(goal: dict[str, Any], located: Located) -> None:
    """The normal investigation of a re-run found something: that is the answer."""
    if located.birth is None:
        answer(goal, {"found": False})
    else:
        batch = figure(located.notes, "table of the batch", lambda: failing_batch(located), ())
        _found(goal, located.birth, located.path, notes=located.notes, iteration=located.iteration, batch=plain(batch))


def _found(goal: dict[str, Any], birth: Birth, path: tuple[PathStep, ...], **more: Any) -> None:
    answer(goal, {"found": True, "birth": plain(birth), "path": [plain(step) for step in path], **more})
