"""`whynan check SCRIPT`: the script's own set-up, its own loader, one of its own steps; then it is ended.

The program runs under watch until its training loop has finished one update, or has failed in it. That iteration is
executed again with hooks on every layer and under the microscope, once more with the recommended initialization, and
once with every other batch that the loop is fed. A second process repeats the set-up with uninitialised memory filled
with NaN and says what it meets.
"""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whynan.case.paths import shortened
from whynan.case.preflight import Preflight, Problem
from whynan.config import Config
from whynan.session import Session
from whynan.watch.script import Outcome as Ended
from whynan.watch.signals import Stop

if TYPE_CHECKING:
    from whynan.investigation import Target
    from whynan.preflight.data.others import Feed
    from whynan.preflight.data.scan import Scan
    from whynan.preflight.early import Early
    from whynan.preflight.epoch import Epoch
    from whynan.replay.scope import Scope
    from whynan.replay.trace import Trace
    from whynan.report.progress import Progress
    from whynan.watch.attempts import Attempt, Attempts, Outcome
    from whynan.watch.loops import LoopRun
    from whynan.watch.sentinel import Seen
    from whynan.watch.snapshot import Snapshot
    from whynan.watch.watcher import Watcher

MEMORY = "uninitialised memory"  # kind of the goal of the second process
SHARE = 0.25  # of the seconds, at least, is for data that training is not fed


class Checking(Session):
    """One `whynan check`. `answer` is what it found, None where the program never came to a training step."""

    def __init__(self, target: Target, config: Config, *, seconds: float) -> None:
        super().__init__(target, config)
        self.seconds = seconds
        self.answer: Preflight | None = None

    def attach(self, watcher: Watcher) -> None:
        super().attach(watcher)
        watcher.explain_with(self.examine)
        watcher.fallback = lambda seen: None
        watcher.extra = self._one_step_is_done
        self._explains = watcher.loops.on_exception
        watcher.loops.on_exception = self._on_exception
        if self.goal is not None and self.goal["kind"] == MEMORY:
            import torch

            from whynan.watch.dataloader import without_workers

            without_workers()
            torch.use_deterministic_algorithms(True, warn_only=True)  # fills what torch.empty gives with NaN

    def _one_step_is_done(self) -> Seen | None:
        from whynan.watch.sentinel import Seen

        assert self.watcher is not None
        return Seen("loss", None, "nan", [], self.watcher.sentinel.steps, hard=False)

    def _on_exception(self, run: LoopRun, error: BaseException) -> bool:
        """The body of a loop raised. Where that came out of torch it is the first step that fails, for any error."""
        from whynan.watch.sentinel import Seen

        watcher = self.watcher
        assert watcher is not None
        if self._explains(run, error):
            return True
        if watcher.muted or run.record is None or not run.record.snapshots or not _out_of_torch(error):
            return False
        seen = Seen("exception", type(error).__name__, str(error), [], watcher.sentinel.steps, hard=False)
        watcher.pending = (run, seen)
        run.record.pending_error = error
        return True

    def examine(self, run: LoopRun, attempts: Attempts) -> Generator[Attempt, Outcome, bool]:
        """Called in the user's loop after its first update, or when that fails. Our own errors end the program too."""
        try:
            yield from self._examine(run, attempts)
        except Exception:
            traceback.print_exc()
        return True

    @contextlib.contextmanager
    def _stage(
        self, text: str, seconds: float | None = None, *, log: bool = True, batches: int | None = None
    ) -> Iterator[Progress]:
        """Say what is done now. In a log that is one line: a file that stays open slows repeated steps down."""
        with contextlib.ExitStack() as stack:
            progress = stack.enter_context(self._progress())
            progress.stage(text, seconds, log=log, batches=batches)
            if not (sys.stderr is not None and sys.stderr.isatty()):
                stack.close()
            yield progress

    def _examine(self, run: LoopRun, attempts: Attempts) -> Generator[Attempt, Outcome, None]:
        from whynan.preflight import settings
        from whynan.preflight.data.others import others, running
        from whynan.preflight.data.scan import Kept
        from whynan.preflight.data.upstream import bad_rows, statistics
        from whynan.preflight.initialization import compared, nonfinite_parameters
        from whynan.preflight.layers import LayerProbe
        from whynan.preflight.naming import namer
        from whynan.preflight.recommended import rules_of, step_redrawn
        from whynan.preflight.together import Parts, put_together
        from whynan.replay.names import root_modules
        from whynan.watch.attempts import Attempt

        assert run.record is not None and self.watcher is not None
        record = run.record
        if self.goal is not None:
            self._answer_about_memory(record)
        snapshot = record.at_or_before(record.update_start(run.index)) or record.at_or_before(run.index)
        if snapshot is None:
            return
        models = [m for m in root_modules(snapshot.modules).values() if any(True for _ in m.parameters())]
        probe, scope = LayerProbe(models), self._scope(snapshot)
        with self._stage("looking at one step"):
            state: list[Problem] = []
            outcome = yield Attempt(
                snapshot=snapshot, until=run.index, around=_around(probe, scope),
                prepare=lambda: state.extend(nonfinite_parameters(models)),
            )  # fmt: skip
            name_of = namer(snapshot, run)
            failure = self._failure(outcome, scope, lambda t: name_of(t, run.item))  # before they are written to
            options = settings.look(snapshot.optimizers)
            rules = rules_of(models, scope.trace)
            again = LayerProbe(models)
            yield from step_redrawn(rules, models, again, snapshot, run.index)
        index, busy, attempts.iterator = run.index, running(), Kept(attempts.iterator)
        early = self._early(run)
        if failure is None:
            with self._stage("trying the first updates", self.seconds / 8, log=False):
                yield from early.look(run)
        start = time.monotonic()
        spare = others(run.frame, self.watcher.is_user_file, self.watcher.snapshotter.is_user_module, busy)
        total = busy[0].batches if len(busy) == 1 else None
        with self._stage("looking through the data", self.seconds, batches=total) as progress:
            epoch = self._epoch(run, index, attempts, scope.trace, progress.advance)
            yield from epoch.look(failure is None)
        left = max(self.seconds - (time.monotonic() - start), self.seconds * SHARE)
        more_data = self._other_data(run, spare, busy, left)
        state.extend(statistics(run, epoch.scan))
        with self._stage("looking for uninitialised memory", self._patience(), log=False):
            more = [*state, *self._memory(), *self._source(scope)]
        parts = Parts(
            program=self.target.name, probe=probe, trace=scope.trace, scan=epoch.scan, failure=failure,
            settings=options, layers=compared(probe.layers(), again.layers(), rules),
            tries=epoch.tries, others=more_data, more=more, early=early.problem, updates=early.executed,
            notes=tuple(bad_rows(run, epoch.scan)),
        )  # fmt: skip
        self.answer = _with_short_paths(put_together(parts), self.folder)

    # one step ----------------------------------------------------------------------------------------------------

    def _scope(self, snapshot: Snapshot) -> Scope:
        from whynan.replay.names import root_modules
        from whynan.replay.scope import Scope
        from whynan.watch.userfiles import is_user_file

        roots = root_modules(snapshot.modules)
        return Scope(is_user_file=is_user_file, roots=lambda: roots)

    def _failure(self, outcome: Outcome, scope: Scope, name_of: Callable[[Any], str | None]) -> Problem | None:
        """The first step fails: with a non-finite loss or gradient, or by raising."""
        from whynan.preflight import step
        from whynan.preflight.births import where_of

        symptom = outcome.symptom
        if symptom is not None and symptom.hard:
            where = where_of(scope.trace, symptom.tensors, name_of)
            return step.failed(f"the {symptom.what} becomes {symptom.value}", where)
        if outcome.ended != "exception" or outcome.error is None:
            return None
        from whynan.watch.suspicion import suspect

        seen = suspect(outcome.error, 0)
        where = where_of(scope.trace, seen.tensors, name_of) if seen is not None else None
        return step.raised(outcome.error, where)

    def _other_data(self, run: LoopRun, spare: dict[str, Any], busy: list[Feed], seconds: float) -> dict[str, Scan]:
        """Validation and test data, without the model."""
        from whynan.preflight.data.others import scans
        from whynan.preflight.data.sources import batch_names

        assert self.watcher is not None
        with contextlib.ExitStack() as stack:

            def told(name: str, batches: int | None) -> Callable[[], object]:
                stack.close()
                progress = stack.enter_context(self._stage(f"looking through {name}", seconds, batches=batches))
                return progress.advance

            like = busy[0] if busy else None
            return scans(spare, batch_names(run), like, seconds, self.watcher.drawn.latest, told)

    def _early(self, run: LoopRun) -> Early:
        from whynan.preflight.early import Early
        from whynan.preflight.naming import namer

        assert run.record is not None
        snapshot = run.record.at_or_before(run.index)
        assert snapshot is not None
        return Early(snapshot, lambda: self._scope(snapshot), namer(snapshot, run), self.seconds)

    def _epoch(self, run: LoopRun, index: int, attempts: Attempts, trace: Trace, each: Callable[[], object]) -> Epoch:
        from whynan.preflight.epoch import Epoch
        from whynan.preflight.naming import namer
        from whynan.preflight.tries import Tries

        assert self.watcher is not None and run.record is not None
        snapshot = run.record.at_or_before(index)
        assert snapshot is not None
        tries = Tries(snapshot, index, lambda: self._scope(snapshot), namer(snapshot, run), attempts.draw_anew)
        return Epoch(run, attempts, self.watcher, tries, trace, self.seconds, each)

    # what only another process, or the source, can tell -----------------------------------------------------------

    def _answer_about_memory(self, record: Any) -> None:
        from whynan.replay import rerun
        from whynan.replay.names import Names, root_modules

        assert self.goal is not None
        first = record.snapshots[0]
        names = Names(root_modules(first.modules), first.optimizers)
        floats = [e for e in first.entries.values() if e.tensor.is_leaf and e.tensor.is_floating_point()]
        bad = [names.of(e.tensor) for e in floats if e.copy is not None and bool(e.copy.isnan().any())]
        rerun.answer(self.goal, {"found": True, "bad": [known.name for known in bad if known is not None]})

    def _memory(self) -> Iterator[Problem]:
        if self.spare is None:
            return
        reply = self.spare.rerun({"kind": MEMORY}, self._patience()) or {}
        for name in reply.get("bad", []):
            yield Problem(
                part="initialization", kind="uninitialised-memory", severity="error", where=name,
                message="was allocated and never filled: its values are whatever the memory held",
                measured="NaN in a second run that fills new memory with NaN", causes=("uninitialized-memory",),
                remedy="torch.zeros(...)  # or fill it: nn.init.xavier_uniform_(...)",
            )  # fmt: skip

    def _source(self, scope: Scope) -> Iterator[Problem]:
        """Clip after step, clip before unscale, no zero_grad, and the rest of `whynan lint`."""
        from whynan.checking.source import problems_of_source
        from whynan.preflight.step import differentiated
        from whynan.watch.userfiles import is_user_file

        file = getattr(sys.modules.get("__main__"), "__file__", None)
        script = str(Path(self.folder, file).resolve()) if file else None
        return problems_of_source(scope.trace, differentiated(scope.trace), script, is_user_file, self.folder)

    # the end ---------------------------------------------------------------------------------------------------

    def _end(self, outcome: Ended) -> int:
        """0, or the status of a program that did not come to a step."""
        if self.answer is not None:
            return 0
        if not isinstance(outcome.exception, Stop):
            outcome.print_traceback()
        return outcome.status


def _out_of_torch(error: BaseException) -> bool:
    """Did a layer, a loss, a backward pass or an optimizer raise this?"""
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        return False
    entry = error.__traceback__
    while entry is not None:
        file = entry.tb_frame.f_code.co_filename.replace("\\", "/")
        if any(part in file for part in ("/torch/nn/", "/torch/autograd/", "/torch/optim/", "/torch/_tensor.py")):
            return True
        entry = entry.tb_next
    return False


def _with_short_paths(answer: Preflight, folder: str) -> Preflight:
    def short(thing: Any) -> Any:
        if thing.file is None:
            return thing
        file = shortened(thing.file, folder)
        named = {"where": f"{file}:{thing.line}"} if getattr(thing, "where", "").startswith(thing.file) else {}
        return replace(thing, file=file, **named)

    return replace(
        answer, problems=tuple(map(short, answer.problems)), edges=tuple(map(short, answer.edges)),
        ops=tuple(map(short, answer.ops)),
    )  # fmt: skip


def _around(*contexts: Any) -> Any:
    @contextlib.contextmanager
    def active(index: int) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context)
            yield

    return active
