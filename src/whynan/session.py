"""One run of a program under whynan: watch it, and when something non-finite shows, explain it.

This is the only place where all rooms meet: watch -> replay -> diagnose -> remedy -> case -> report.
"""

from __future__ import annotations

import builtins
import contextlib
import linecache
import os
import platform
import random
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whynan.case.facts import Birth, Phase, Report, Run, Symptom
from whynan.case.paths import relative_to
from whynan.config import Config
from whynan.errors import WhynanError
from whynan.watch import importing, inert
from whynan.watch.script import Outcome as Ended
from whynan.watch.script import clean_tracebacks, die_by_sigint, run_module, run_script
from whynan.watch.signals import Stop
from whynan.watch.source import NAMES, SiteTable
from whynan.watch.userfiles import is_user_file

if TYPE_CHECKING:
    from whynan.diagnose.engine import Diagnosis
    from whynan.replay.locate import Located
    from whynan.replay.rerun import Spare
    from whynan.report.progress import Progress
    from whynan.watch.attempts import Attempt, Attempts, Outcome
    from whynan.watch.loops import LoopRun
    from whynan.watch.sentinel import Seen
    from whynan.watch.watcher import Watcher

random.getstate()  # python's generator is seeded before the process is copied: a re-run draws the same numbers


@dataclass(frozen=True)
class Target:
    """What the user asked to run: `whynan run NAME ARGV...` or `whynan run -m NAME ARGV...`."""

    kind: Literal["script", "module"]
    name: str
    argv: list[str] = field(default_factory=list)


def run(target: Target, config: Config) -> int:
    """Run the program and return the exit status of `whynan run` (DESIGN: 0, 3, or the program's own)."""
    return Session(target, config).run()


class Session:
    """State of one `whynan run`."""

    def __init__(self, target: Target, config: Config) -> None:
        self.target = target
        self.config = config
        self.sites = SiteTable()
        self.watcher: Watcher | None = None
        self.spare: Spare | None = None
        self.goal: dict[str, Any] | None = None
        self.report: Report | None = None
        self.started = time.perf_counter()
        self.began = time.time()
        self.folder = os.getcwd()
        self.case: Path | None = None
        self.ended = False  # the program is over, its traceback is printed

    # the program -----------------------------------------------------------------------------------------------

    def run(self) -> int:
        if self.config.rerun:
            from whynan.replay import rerun

            self.spare, self.goal = rerun.start()
        inert.install()
        importing.after_import("torch", lambda module: self._torch_is_there())
        runner = run_script if self.target.kind == "script" else run_module
        outcome = runner(self.target.name, self.target.argv, rewrite=True, sites=self.sites)
        if outcome.forked:
            return self._end_of_fork(outcome)
        if self.goal is not None:
            self._end_of_rerun(outcome)
        return self._end(outcome)

    def _torch_is_there(self) -> None:
        from whynan.watch.watcher import Watcher

        watcher = Watcher(self.sites, is_user_file, share=self.config.snapshot_share, memory_mb=self.config.memory_mb)
        self.watcher = watcher
        watcher.explain_with(self.investigate)
        watcher.fallback = self._no_loop
        self._switch_to(watcher)
        if self.goal is not None:
            from whynan.replay.fromstart import pursue

            pursue(self.goal, watcher, self)
        elif self.spare is not None:
            from whynan.replay.fromstart import entropy

            self.spare.extras.update(entropy())

    def _switch_to(self, watcher: Watcher) -> None:
        loops = watcher.loops
        functions = (loops.for_, loops.while_, loops.done, loops.caught, loops.next_, loops.leave)
        for name, function in zip(NAMES, functions, strict=True):
            setattr(builtins, name, function)

    def _end_of_fork(self, outcome: Ended) -> int:
        outcome.print_traceback()
        return outcome.status

    def _end_of_rerun(self, outcome: Ended) -> None:
        from whynan.replay import rerun

        error = outcome.exception
        if error is not None and self.watcher is not None and self.goal is not None:
            from whynan.replay.fromstart import last_words

            last_words(self.goal, self.watcher, error)
        assert self.goal is not None
        rerun.answer(self.goal, {"found": False})

    def _end(self, outcome: Ended) -> int:
        if not isinstance(outcome.exception, Stop):
            outcome.print_traceback()
            self.ended = True
            if (
                self.report is None
                and self.watcher is not None
                and not isinstance(outcome.exception, KeyboardInterrupt)
            ):
                self._last_look(outcome)
        status = 3 if self.report is not None else outcome.status
        report = self.report or Report(verdict="healthy", run=self.run_facts())
        if self.config.json:
            from whynan.case import serial, strict_json

            text = strict_json.dumps(serial.to_dict(report), indent=1)
            (Path(self.folder) / self.config.json).write_text(text, encoding="utf-8")
        if isinstance(outcome.exception, KeyboardInterrupt):
            die_by_sigint()
        return status

    def _last_look(self, outcome: Ended) -> None:
        """The program is over. Did it die of non-finite values outside of any loop, or only evaluate and yield them?"""
        from whynan.watch.sentinel import Seen
        from whynan.watch.suspicion import suspect

        assert self.watcher is not None
        if self.watcher.pending is not None:
            self._no_loop(self.watcher.pending[1], stop=False)
        elif outcome.exception is not None:
            seen = suspect(outcome.exception, self.watcher.sentinel.steps)
            if seen is not None:
                self._no_loop(seen, stop=False)
        elif (late := self.watcher.sentinel.last_look()) is not None:
            self._no_loop(late, stop=False)
        elif self.watcher.hooks.evaluation.bad is not None and not self.watcher.sentinel.backwards:
            self._no_loop(Seen("output", self.watcher.hooks.evaluation.module, "nan", [], hard=False), stop=False)

    # the investigation -----------------------------------------------------------------------------------------

    def investigate(self, run: LoopRun, attempts: Attempts) -> Generator[Attempt, Outcome, bool]:
        """Called inside the user's loop. True ends the program, False lets it go on as if nothing had been."""
        from whynan.diagnose.engine import diagnose
        from whynan.diagnose.inquest import Inquest
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
            from whynan.replay.fromstart import found

            found(self.goal, located)
        if self._may_fix():
            from whynan.remedy import trials

            trials.warm_up()  # a process that imports torch while the cause is looked for
        located = self._look_from_the_start(located)
        inquest = Inquest.of(located, watcher, self.config)
        if located.birth is None:
            located.birth = where_it_was_noticed(located)
        report = self._report(located, seen)
        self._present_where(report, located)
        if not self.config.watch_only:
            with self._progress() as progress:
                progress.stage("looking for the cause, one change at a time")
                diagnosis = yield from diagnose(inquest)
                report = self._with_remedies(_with_causes(report, diagnosis), progress)
        self._present(report)
        watcher.muted, watcher.pending = True, None
        return True

    def _look_from_the_start(self, located: Located) -> Located:
        """Where the iteration alone could not tell where the value was born, run the program again."""
        from whynan.replay import fromstart

        if self.spare is None or self.watcher is None:
            return located
        return fromstart.complete(located, self.spare, self.watcher, timeout=self._patience())

    def _patience(self) -> float:
        """Seconds a re-run may take: as long as the program took so far, and a little more."""
        return 10.0 + 3.0 * (time.perf_counter() - self.started)

    def _no_loop(self, seen: Seen, stop: bool = True) -> None:
        """An alarm where nothing can be executed again: re-run the program up to just before it."""
        from whynan.replay import fromstart

        watcher = self.watcher
        assert watcher is not None
        if self.goal is not None:
            fromstart.alarm(self.goal, watcher, seen)
            return
        watcher.muted = True
        located = fromstart.scope_again(seen, self.spare, watcher, timeout=self._patience())
        if located is None:
            watcher.muted = not seen.hard
            if not seen.hard:
                return
            located = fromstart.nothing_known(seen)
            located.birth = where_it_was_noticed(located)
        watcher.muted, watcher.pending = True, None
        report = self._report(located, seen)
        self._present_where(report, located)
        if not self.config.watch_only:
            from whynan.diagnose.engine import assess_only
            from whynan.diagnose.inquest import Inquest

            with self._progress() as progress:
                diagnosis = assess_only(Inquest.of(located, watcher, self.config))
                report = self._with_remedies(_with_causes(report, diagnosis), progress)
        self._present(report)
        if stop:
            raise Stop

    # the answer ------------------------------------------------------------------------------------------------

    def _report(self, located: Located, seen: Seen) -> Report:
        name = seen.name
        if located.names is not None and located.seen.tensors:
            owner = located.seen.owner if located.seen.owner is not None else located.seen.tensors[0]
            known = located.names.of(owner)
            if known is not None and known.kind in ("parameter", "buffer", "gradient", "state"):
                name = known.name if seen.what != "state" or seen.name is None else f"{seen.name} of {known.name}"
        if located.reproduced != "no" and located.seen.what == seen.what:
            seen = located.seen
        symptom = Symptom(step=seen.step, iteration=located.iteration, what=seen.what, name=name, value=seen.value)  # type: ignore[arg-type]
        assert self.watcher is not None
        return Report(
            verdict="nonfinite",
            run=self.run_facts(),
            symptom=symptom,
            birth=located.birth,
            path=located.path,
            history=self.watcher.sentinel.history.series(),
            notes=tuple(located.notes),
            reproduced=located.reproduced if located.reproduced in ("bitwise", "eager", "rerun") else "no",  # type: ignore[arg-type]
        )

    def _may_fix(self) -> bool:
        config = self.config
        wanted = config.fixes and config.fix_budget > 0 and not config.watch_only
        return wanted and self.target.kind == "script" and self.goal is None

    def _progress(self) -> Progress:
        from whynan.report.progress import Progress

        return Progress(not self.config.quiet)

    def _with_remedies(self, report: Report, progress: Progress) -> Report:
        """Patches that were tried on copies of the program, the verified ones first."""
        if not self._may_fix():
            return report
        from whynan.remedy.plan import propose

        progress.stage("trying remedies on copies of the program")
        script = os.path.join(self.folder, self.target.name)
        remedies, rejected = propose(
            report, script=script, argv=tuple(self.target.argv), budget_s=self.config.fix_budget, cwd=self.folder
        )
        return replace(report, remedies=remedies, rejected=rejected)

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

    def _present(self, report: Report) -> None:
        from whynan import report as reports

        self.report = report = relative_to(report, self.folder)
        with contextlib.chdir(self.folder):  # wherever the program went, paths are those that the user typed
            if self.config.case:
                name = Path(self.target.name).stem if self.target.kind == "script" else self.target.name
                self.case = reports.save(report, self.config.cases_dir, name)
            if self.config.html:
                from whynan.report.page import page

                Path(self.config.html).write_text(page(report), encoding="utf-8")
            if not self.config.quiet:
                reports.show_why(report, case=self.case, color=self.config.color)
        if self.config.apply:
            self._apply(report)

    def _apply(self, report: Report) -> None:
        """Write the first verified patch into the user's file, after it was shown."""
        from whynan.remedy.apply import apply_to_tree
        from whynan.remedy.trials import Script

        patch = next((r.patch for r in report.remedies if r.verified and r.patch), None)
        if patch is None:
            print("whynan: no verified patch, nothing was applied", file=sys.stderr)
            return
        root = Script(Path(self.folder, self.target.name), tuple(self.target.argv), Path(self.folder), None).root
        try:
            path = apply_to_tree(patch, root, self.began)
            print(f"whynan: applied to {path}", file=sys.stderr)
        except WhynanError as error:
            print(f"whynan: {error}", file=sys.stderr)


_PHASES: dict[str, Phase] = {"parameter": "optimizer", "state": "optimizer", "gradient": "backward"}


def where_it_was_noticed(located: Located) -> Birth | None:
    """For a failure that did not come back: the line of the alarm is all that is known."""
    seen = located.seen
    if seen.site is None:
        return None
    file, line, function = seen.site
    return Birth(
        step=seen.step,
        iteration=located.iteration,
        phase=_PHASES.get(seen.what, "forward"),
        kind="nan" if seen.value == "nan" else "inf",
        op=None,
        file=file,
        line=line,
        function=function,
        source=linecache.getline(file, line).rstrip("\n") or None,
        note="This is where the value was noticed: the failure did not come back when the step was executed again.",
    )


def _with_causes(report: Report, diagnosis: Diagnosis) -> Report:
    return replace(report, causes=diagnosis.causes, notes=(*report.notes, *diagnosis.notes, *diagnosis.upstream))
