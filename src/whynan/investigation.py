"""From an alarm to an answer: where, why, which change cures it. Told once, for every way of watching.

An `Investigation` is asked in the user's loop (`investigate`, where iterations can be executed again) or outside of
any (`no_loop`, where only a re-run from the start can tell), and presents what it finds: the place as soon as it is
known, then the reason and the patch.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from whynan.case.facts import Report, Run, Symptom
from whynan.case.paths import relative_to
from whynan.config import Config
from whynan.errors import WhynanError
from whynan.replay.environment import environment
from whynan.watch.script import Outcome as Ended
from whynan.watch.script import clean_tracebacks
from whynan.watch.signals import Stop

if TYPE_CHECKING:
    from whynan.diagnose.engine import Diagnosis
    from whynan.diagnose.inquest import Inquest
    from whynan.remedy.mirror import Script
    from whynan.replay.capture import Evidence
    from whynan.replay.locate import Located
    from whynan.replay.rerun import Spare
    from whynan.report.progress import Progress
    from whynan.watch.attempts import Attempt, Attempts, Outcome
    from whynan.watch.loops import LoopRun
    from whynan.watch.sentinel import Seen
    from whynan.watch.watcher import Watcher


@dataclass(frozen=True)
class Target:
    """What the user asked to run: `whynan run NAME ARGV...` or `whynan run -m NAME ARGV...`."""

    kind: Literal["script", "module"]
    name: str
    argv: list[str] = field(default_factory=list)


class Investigation:
    """State of one watched program, as far as explaining it needs it."""

    def __init__(self, target: Target, config: Config) -> None:
        self.target = target
        self.config = config
        self.watcher: Watcher | None = None
        self.spare: Spare | None = None  # a copy of this process that can run the program again
        self.goal: dict[str, Any] | None = None  # in that copy: what it shall find out
        self.report: Report | None = None
        self.started = time.perf_counter()
        self.began = time.time()
        self.folder = os.getcwd()
        self.case: Path | None = None
        self._shipped: TemporaryDirectory[str] | None = None  # where a re-run leaves the slice that it found
        self.ended = False  # the program is over, its traceback is printed

    def attach(self, watcher: Watcher) -> None:
        """Explain what this watcher sees."""
        self.watcher = watcher
        watcher.explain_with(self.investigate)
        watcher.fallback = self.no_loop

    # where -----------------------------------------------------------------------------------------------------

    def investigate(self, run: LoopRun, attempts: Attempts) -> Generator[Attempt, Outcome, bool]:
        """Called inside the user's loop. True ends the program, False lets it go on as if nothing had been."""
        from whynan.replay.locate import locate

        watcher = self.watcher
        assert watcher is not None and watcher.pending is not None
        seen = watcher.pending[1]
        located = yield from locate(run, seen, watcher)
        if located.benign or (located.birth is None and located.source is None and not seen.hard):
            watcher.sentinel.accept(seen.tensors)
            watcher.pending = None
            return False
        if self.goal is not None:
            from whynan.replay.capture import ship
            from whynan.replay.pursuit import found

            ship(self.goal, located.trace, located.finding, located.names)
            found(self.goal, located)
        if self.may_fix:
            from whynan.remedy import trials

            trials.warm_up()  # a process that imports torch while the cause is looked for
        located = self._look_from_the_start(located)
        yield from self._explain(located, seen)
        return True

    def no_loop(self, seen: Seen, stop: bool = True) -> None:
        """An alarm where nothing can be executed again: re-run the program up to just before it."""
        from whynan.replay import fromstart, pursuit

        watcher = self.watcher
        assert watcher is not None
        if self.goal is not None:
            pursuit.alarm(self.goal, watcher, seen)
            return
        watcher.muted = True
        self._let_ship()
        with self._progress() as progress:
            progress.stage("running the program again from its start", self._patience(), log=False)
            located = fromstart.scope_again(seen, self.spare, watcher, timeout=self._patience())
        if located is None:
            watcher.muted = not seen.hard
            if not seen.hard:
                return
            located = fromstart.nothing_known(seen)
        if watcher.no_room is not None:
            located.notes.append(f"the failing step could not be executed again in its loop: {watcher.no_room}")
        for _ in self._explain(located, seen):
            raise AssertionError("nothing can be executed again outside of a loop")
        if stop:
            raise Stop

    def _look_from_the_start(self, located: Located) -> Located:
        """Where the iteration alone could not tell where the value was born, run the program again."""
        from whynan.replay import fromstart

        if self.spare is None or self.watcher is None or not fromstart.is_incomplete(located):
            return located
        self._let_ship()
        with self._progress() as progress:
            progress.stage("running the program again from its start", self._patience(), log=False)
            return fromstart.complete(located, self.spare, self.watcher, timeout=self._patience())

    def _patience(self) -> float:
        """Seconds a re-run may take: as long as the program took so far, and a little more."""
        return 10.0 + 3.0 * (time.perf_counter() - self.started)

    # why, and what to do ---------------------------------------------------------------------------------------

    def _explain(self, located: Located, seen: Seen) -> Generator[Attempt, Outcome, None]:
        """Present the place, look for cause and cure, present those."""
        from whynan.diagnose.engine import diagnose
        from whynan.diagnose.inquest import Inquest
        from whynan.replay.noticed import where_it_was_noticed

        watcher = self.watcher
        assert watcher is not None
        inquest = Inquest.of(located, watcher, self.config)
        if located.birth is None:
            located.birth = where_it_was_noticed(located)
        report = self._report(located, seen)
        self._present_where(report, located)
        evidence = (yield from self._gather(located)) if self.config.case else None
        if not self.config.watch_only:
            with self._progress() as progress:
                progress.stage("looking for the cause, one change at a time", self.config.why_budget)
                diagnosis = yield from diagnose(inquest)
                report = _with_causes(report, diagnosis)
                if self.may_fix:
                    progress.stage("trying remedies", self.config.fix_budget)
                    report = yield from self._with_remedies(report, inquest, diagnosis)
        self._present(report, evidence)
        watcher.muted, watcher.pending = True, None

    # the answer ------------------------------------------------------------------------------------------------

    def _report(self, located: Located, seen: Seen) -> Report:
        from whynan.replay.tables import with_tables

        name = seen.name
        if located.names is not None and located.seen.tensors and located.seen.what == seen.what:
            owner = located.seen.owner if located.seen.owner is not None else located.seen.tensors[0]
            known = located.names.of(owner)
            if known is not None and known.kind in ("parameter", "buffer", "gradient", "state"):
                name = known.name if seen.what != "state" or seen.name is None else f"{seen.name} of {known.name}"
        if located.reproduced != "no" and located.seen.what == seen.what:
            seen = located.seen
        symptom = Symptom(step=seen.step, iteration=located.iteration, what=seen.what, name=name, value=seen.value)  # type: ignore[arg-type]
        assert self.watcher is not None
        report = Report(
            verdict="nonfinite",
            run=self.run_facts(),
            symptom=symptom,
            birth=located.birth,
            path=located.path,
            notes=tuple(located.notes),
            reproduced=located.reproduced if located.reproduced in ("bitwise", "eager", "rerun") else "no",  # type: ignore[arg-type]
        )
        return with_tables(report, located, self.watcher)

    @property
    def may_fix(self) -> bool:
        config = self.config
        wanted = config.fixes and config.fix_budget > 0 and not config.watch_only
        return wanted and self.goal is None

    def _progress(self) -> Progress:
        from whynan.report.progress import Progress

        return Progress(not self.config.quiet)

    def _with_remedies(
        self, report: Report, inquest: Inquest, diagnosis: Diagnosis
    ) -> Generator[Attempt, Outcome, Report]:
        """Remedies that were tried in the loop and on copies of the program, the verified ones first."""
        from whynan.remedy.plan import cure

        script = self._script()
        if script is None:
            return report
        budget = self.config.fix_budget
        remedies, rejected = yield from cure(inquest, diagnosis, report, script, budget_s=budget)
        return replace(report, remedies=remedies, rejected=rejected)

    def _script(self) -> Script | None:
        """The program as trials run it; None where its source cannot be found."""
        from whynan.remedy.mirror import Script

        return Script.of(self.target.kind, self.target.name, tuple(self.target.argv), Path(self.folder))

    def run_facts(self) -> Run:
        torch = sys.modules.get("torch")
        seconds = time.perf_counter() - self.started
        return Run(
            script=self.target.name,
            argv=tuple(self.target.argv),
            python=platform.python_version(),
            torch=getattr(torch, "__version__", None) and str(torch.__version__),  # type: ignore[union-attr]
            device="cuda" if torch is not None and torch.cuda.is_initialized() else "cpu",
            steps=self.watcher.sentinel.steps if self.watcher is not None else 0,
            seconds=round(seconds, 3),
            overhead=round(self.watcher.sentinel.seconds, 3) if self.watcher is not None else None,
            rank=int(os.environ.get("RANK", "0") or 0),
            world_size=int(os.environ.get("WORLD_SIZE", "1") or 1),
            environment=environment(),
        )

    def _present_where(self, report: Report, located: Located) -> None:
        """What is known already is printed at once; finding the reason can take a minute."""
        self.report = report
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        if located.seen.error is not None and not self.ended:  # the traceback that python would have printed
            clean_tracebacks(located.seen.error)
            Ended(located.seen.error, 1).print_traceback()
        if not self.config.quiet:
            from whynan import report as reports

            with contextlib.chdir(self.folder):
                reports.show_where(relative_to(report, self.folder), color=self.config.color)

    def _gather(self, located: Located) -> Generator[Attempt, Outcome, Evidence]:
        """What the case will hold beside the report, before any experiment writes to it."""
        from whynan.replay.capture import gather

        assert self.watcher is not None
        shipped = Path(self._shipped.name) if self._shipped else None
        return (yield from gather(located, self.watcher, self._case_limit(), shipped))

    def _case_limit(self) -> int:
        from whynan.replay.capture import affordable

        return affordable(self.config.case_mb, os.path.join(self.folder, self.config.cases_dir))

    def _let_ship(self) -> None:
        """A re-run that finds the birth shall leave its slice where `_gather` finds it."""
        if self.config.case and self.spare is not None and self._shipped is None:
            from whynan.replay.capture import shipping

            self._shipped, more = shipping(self._case_limit(), self.folder)
            self.spare.extras.update(more)

    def _save(self, report: Report, evidence: Evidence | None) -> Path | None:
        """The case folder; None, and a word on stderr, where the disk refuses."""
        from whynan import report as reports

        name = Path(self.target.name).stem if self.target.kind == "script" else self.target.name
        try:
            if evidence is not None:
                fill = partial(evidence.write, root=self.folder, name=name)
                return reports.save(report, self.config.cases_dir, name, fill=fill)
            return reports.save(report, self.config.cases_dir, name)
        except OSError as error:
            print(f"whynan: the case could not be written to {self.config.cases_dir}: {error}", file=sys.stderr)
            return None

    def _present(self, report: Report, evidence: Evidence | None) -> None:
        from whynan import report as reports

        self.report = report = relative_to(report, self.folder)
        with contextlib.chdir(self.folder):  # wherever the program went, paths are those that the user typed
            if self.config.case:
                self.case = self._save(report, evidence)
            if self.config.html:
                from whynan.report.page import page

                Path(self.config.html).write_text(page(report), encoding="utf-8")
            if not self.config.quiet:
                reports.show_why(report, case=self.case, color=self.config.color)
            reports.annotate(report, self.config.format)
        if self.config.apply:
            self._apply(report)

    def _apply(self, report: Report) -> None:
        """Write the first verified patch into the user's file, after it was shown."""
        from whynan.remedy.apply import apply_to_tree

        patch = next((r.patch for r in report.remedies if r.verified and r.patch), None)
        if patch is None:
            print("whynan: no verified patch, nothing was applied", file=sys.stderr)
            return
        script = self._script()
        assert script is not None  # a patch is of some source
        try:
            path = apply_to_tree(patch, script.root, self.began)
            print(f"whynan: applied to {path}", file=sys.stderr)
        except WhynanError as error:
            print(f"whynan: {error}", file=sys.stderr)


def _with_causes(report: Report, diagnosis: Diagnosis) -> Report:
    notes = (*report.notes, *diagnosis.notes, *diagnosis.upstream)
    return replace(report, causes=diagnosis.causes, experiments=diagnosis.told, notes=notes)
