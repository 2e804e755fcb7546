"""One run of a program under whynan: start it, watch it, and hand on how it ended.

    watch -> investigation (replay -> diagnose -> remedy -> case -> report)
"""

from __future__ import annotations

import builtins
import contextlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from whynan.case.facts import Report
from whynan.config import Config
from whynan.investigation import Target as Target
from whynan.ongoing import Ongoing, speak_on_stderr
from whynan.watch import importing, inert
from whynan.watch.script import Outcome as Ended
from whynan.watch.script import die_by_sigint, run_module, run_script
from whynan.watch.signals import Stop
from whynan.watch.source import SiteTable
from whynan.watch.userfiles import is_user_file

random.getstate()  # python's generator is seeded before the process is copied: a re-run draws the same numbers


def run(target: Target, config: Config) -> int:
    """Run the program and return the exit status of `whynan run` (DESIGN: 0, 3, or the program's own)."""
    return Session(target, config).run()


class Session(Ongoing):
    """One `whynan run`."""

    def __init__(self, target: Target, config: Config) -> None:
        if config.watch_only:  # no copy of the process waits for days, and no copy of the program is run
            config = replace(config, watch_only=False, fixes=False, rerun=False)
        super().__init__(target, config)
        speak_on_stderr()
        self.sites = SiteTable()

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

        self.before_watching()
        watcher = Watcher(self.sites, is_user_file, share=self.config.snapshot_share, memory_mb=self.config.memory_mb)
        self.attach(watcher)
        vars(builtins).update(watcher.loops.names())
        if self.goal is not None:
            from whynan.replay.pursuit import pursue

            pursue(self.goal, watcher, self)
        elif self.spare is not None:
            from whynan.replay.fromstart import entropy

            self.spare.extras.update(entropy())

    def _end_of_fork(self, outcome: Ended) -> int:
        outcome.print_traceback()
        return outcome.status

    def _end_of_rerun(self, outcome: Ended) -> None:
        from whynan.replay import rerun

        error = outcome.exception
        if error is not None and self.watcher is not None and self.goal is not None:
            from whynan.replay.pursuit import last_words

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
        report = self.concluded(self.report or Report(verdict="healthy", run=self.run_facts(), history=self._history()))
        if self.config.json:
            from whynan.case import serial, strict_json

            text = strict_json.dumps(serial.to_dict(report), indent=1)
            (Path(self.folder) / self.config.json).write_text(text, encoding="utf-8")
        if self.report is None and self.config.format == "sarif":
            from whynan import report as reports

            with contextlib.chdir(self.folder):
                reports.annotate(report, "sarif")
        if isinstance(outcome.exception, KeyboardInterrupt):
            die_by_sigint()
        return status

    def _history(self) -> dict[str, list[Any]]:
        """For `whynan diff` of runs that stayed healthy."""
        if self.watcher is None or not self.config.json:
            return {}
        from whynan.replay.capture import history

        series: dict[str, list[Any]] = history(self.watcher)["series"]
        return series

    def _last_look(self, outcome: Ended) -> None:
        """The program is over. Did it die of non-finite values outside of any loop, or only evaluate and yield them?"""
        from whynan.watch.sentinel import Seen
        from whynan.watch.suspicion import suspect

        assert self.watcher is not None
        if self.watcher.pending is not None:
            self.no_loop(self.watcher.pending[1], stop=False)
        elif outcome.exception is not None:
            seen = suspect(outcome.exception, self.watcher.sentinel.steps)
            if seen is not None:
                self.no_loop(seen, stop=False)
        elif (late := self.watcher.sentinel.last_look()) is not None:
            self.no_loop(late, stop=False)
        elif self.watcher.hooks.evaluation.bad is not None and not self.watcher.sentinel.backwards:
            self.no_loop(Seen("output", self.watcher.hooks.evaluation.module, "nan", [], hard=False), stop=False)
