"""A watched program that shall live: early warnings on the way, guards before a failure is explained, and going on
with the best remedy after it was (`--fix continue`). Everything that was done is in the report's `actions`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from whynan.case.facts import Alert, Report
from whynan.config import Config
from whynan.guard.ranks.channel import many_expected, rank_expected, started
from whynan.guard.settings import parse
from whynan.investigation import Investigation, Target

if TYPE_CHECKING:
    from whynan.guard.guard import Guard
    from whynan.guard.ranks.ranks import Ranks
    from whynan.guard.ranks.together import Together
    from whynan.replay.locate import Located
    from whynan.watch.attempts import Attempt, Attempts, Outcome
    from whynan.watch.goingon import Continue
    from whynan.watch.loops import LoopRun
    from whynan.watch.sentinel import Seen
    from whynan.watch.warnings.monitor import Monitor
    from whynan.watch.watcher import Watcher

LOG = logging.getLogger("whynan")
SNAPSHOTS = 0.02  # share of the time, where a guard goes back to them
SURVIVALS = 5  # failures of one run after which going on is given up


class Ongoing(Investigation):
    """An investigation that may answer with going on."""

    def __init__(self, target: Target, config: Config) -> None:
        if (several := many_expected()):  # a copy of one rank would wait for the others, or speak in its place
            config = replace(config, rerun=False, fixes=False)
        super().__init__(target, config)
        self.settings = parse(config.guard)
        self.speaks = not several or rank_expected() == 0  # of several ranks one writes and prints
        self.ranks: Ranks | None = None
        self._together: Together | None = None
        self._apart = ""  # why the ranks could not investigate together
        self.guard: Guard | None = None
        self.monitor: Monitor | None = None
        self.done: list[Alert] = []  # by guards and by going on, oldest first
        self.survived = 0
        self._located: Located | None = None

    # setting up ------------------------------------------------------------------------------------------------

    def before_watching(self) -> None:
        """Guards are asked before the sentinel: their hooks have to be there first."""
        if self.settings.acts and self.goal is None:
            from whynan.guard.guard import Guard

            self.guard = Guard(self.settings)
            self.done = self.guard.journal.actions

    def attach(self, watcher: Watcher) -> None:
        super().attach(watcher)
        if self.settings.rollback or self.settings.precision:  # a way back that is not too long is worth its price
            watcher.share = max(watcher.share, SNAPSHOTS)
        guard = self.guard
        if guard is not None:
            guard.clock = lambda: watcher.sentinel.steps
            watcher.takes, watcher.took = guard.takes, guard.took
            guard.on_gave_up = lambda optimizer, why: _alarm(watcher, optimizer)
        if self.goal is None and (many_expected() or started()):
            from whynan.guard.ranks.ranks import Ranks

            self.ranks = Ranks(watcher, self._alone, watcher.share)
        if self.goal is None and self.config.warnings:
            from whynan.watch.warnings.monitor import Monitor

            self.monitor = Monitor(watcher, silent=self.config.quiet or not self.speaks)
        if guard is not None or self.monitor is not None:
            self._hear_of_skips(watcher)

    def _hear_of_skips(self, watcher: Watcher) -> None:
        known, guard, monitor = watcher.sentinel.scaler_skipped, self.guard, self.monitor

        def scaler_skipped(optimizer: Any) -> None:
            if guard is not None:
                guard.update_is_lost()
            if monitor is not None:
                monitor.scaler_skipped()
            known(optimizer)

        watcher.sentinel.scaler_skipped = scaler_skipped  # type: ignore[method-assign]

    # failures --------------------------------------------------------------------------------------------------

    def investigate(self, run: LoopRun, attempts: Attempts) -> Generator[Attempt, Outcome, bool | Continue]:  # type: ignore[override]
        watcher, ranks, guard = self.watcher, self.ranks, self.guard
        assert watcher is not None and watcher.pending is not None
        seen = watcher.pending[1]
        if ranks is None or ranks.meeting is None:
            return (yield from self._answer(run, attempts, seen))
        from whynan.guard.ranks.together import Together

        together = Together(ranks, run, attempts)
        yield from together.find_first()
        meeting = together.meeting
        self.speaks = meeting.leads
        if meeting.leads:
            self._together = together
            try:
                return (yield from together.lead(self._answer(run, attempts, seen)))
            finally:
                self._together = None
        plan = yield from together.follow(lambda: guard.failure(run, seen, meeting) if guard is not None else None)
        if plan is True:  # the other rank's report is the only one
            watcher.muted, watcher.pending, self._apart = True, None, f"rank {meeting.leader} explains it"
        return plan

    def _answer(self, run: LoopRun, attempts: Attempts, seen: Seen) -> Generator[Attempt, Outcome, bool | Continue]:
        if self.guard is not None:
            plan = yield from self._guarded(self.guard, run, seen)
            if plan is not None:
                return plan
        if self._together is not None and not self.config.quiet:
            meeting = self._together.meeting
            print(f"whynan: rank {meeting.rank} of {meeting.world} saw it first and explains it", file=sys.stderr)
        self.report = None
        finished = yield from super().investigate(run, attempts)
        if not finished:
            return False
        plan = yield from self.after_explaining(run)
        if plan is not None and self._together is not None:
            index, drop = plan.snapshot.index, sorted(plan.drop)
            self._together.order("continue", snapshot=index, drop=drop, quiet_to=plan.quiet_to)
        return plan if plan is not None else True

    def _guarded(self, guard: Guard, run: LoopRun, seen: Seen) -> Generator[Attempt, Outcome, Continue | None]:
        if not seen.hard and seen.error is None:  # possibly non-finite on purpose
            from whynan.replay.locate import locate

            assert self.watcher is not None
            located = yield from locate(run, seen, self.watcher)
            if located.benign or (located.birth is None and located.source is None):
                return None
        if self._together is None:
            return guard.failure(run, seen)
        self._together.order("guard")
        return guard.failure(run, seen, self._together.meeting)

    def _alone(self, seen: Seen, why: str) -> None:
        """The other ranks cannot take part."""
        self._apart = why
        self.no_loop(replace(seen, hard=True))

    def no_loop(self, seen: Seen, stop: bool = True) -> None:
        if self.ranks is None or self.ranks.claim():
            self.speaks = True
            return super().no_loop(seen, stop)
        from whynan.watch.signals import Stop

        assert self.watcher is not None
        self.watcher.muted, self.watcher.pending, self.speaks = True, None, False
        if stop:
            raise Stop

    def after_explaining(self, run: LoopRun) -> Generator[Attempt, Outcome, Continue | None]:
        """The failure was explained: go on, or end the program (None)."""
        if self._together is not None and self.config.fix == "continue":
            self.say("gave-up", "cannot go on: --fix continue acts in one process only, and there are several")
            return None
        if self.config.fix != "continue" or self.goal is not None or self.report is None or self._located is None:
            return None
        from whynan.guard.lasting import lasting

        assert self.watcher is not None
        if self.survived >= SURVIVALS:
            self.say("gave-up", f"gave up going on after {self.survived} failures")
            return None
        plan, words = yield from lasting(self._located, self.watcher, self.config, self.report)
        if plan is None:
            self.say("gave-up", f"cannot go on: {words}")
            return None
        self.survived += 1
        self.say("continue", f"GOING ON {words}, from iteration {run.first + plan.snapshot.index}")
        print("whynan: from here on this is not the run that the script describes", file=sys.stderr)
        return plan

    def say(self, kind: str, message: str) -> None:
        step = self.watcher.sentinel.steps if self.watcher is not None else 0
        self.done.append(Alert(step=step, kind=kind, message=message))
        print(f"whynan: {message}", file=sys.stderr)
        if self.report is not None:
            self.report = replace(self.report, actions=self.actions)
            self._write_again(self.report)

    def _look_from_the_start(self, located: Located) -> Located:
        self._located = located = super()._look_from_the_start(located)
        return located

    # the answer ------------------------------------------------------------------------------------------------

    @property
    def actions(self) -> tuple[Alert, ...]:
        return tuple(self.done)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        return tuple(self.monitor.alerts) if self.monitor is not None else ()

    def _report(self, located: Located, seen: Seen) -> Report:
        report = replace(super()._report(located, seen), alerts=self.alerts, actions=self.actions)
        if self._together is not None:
            meeting = self._together.meeting
            text = f"seen first on rank {meeting.rank} of {meeting.world}; the others repeated its iterations"
            return replace(report, notes=(*report.notes, text))
        if self._apart:
            notes = [note for note in report.notes if "no loop of your code" not in note]
            return replace(report, notes=(*notes, f"the failing step could not be executed again: {self._apart}"))
        return report

    def concluded(self, report: Report) -> Report:
        """At the end of the run: what was done is in the report and in the case, and is said once more."""
        if not self.speaks or self.report is None and self.ranks is not None and self.ranks.another_explains:
            self.config = replace(self.config, json=None, format="text")  # another rank writes these
        if not self.actions and not self.alerts:
            return report
        if report.verdict == "healthy":
            report = replace(report, verdict="suspect" if self.actions else "healthy")
        report = replace(report, alerts=self.alerts, actions=self.actions)
        if self.report is not None:
            self._write_again(report)
        if self.speaks and self.guard is not None and (summary := self.guard.journal.summary()) is not None:
            hint = "" if self.report is not None else "; whynan run without --guard would say why"
            print(f"whynan: guard: {summary}{hint}", file=sys.stderr)
        if self.survived and not self.config.quiet:
            did = "; ".join(a.message for a in self.done if a.kind == "continue")
            print(f"whynan: this run was kept alive: {did}. Do not take its result for the script's.", file=sys.stderr)
        return report

    def _write_again(self, report: Report) -> None:
        if self.case is None:
            return
        from whynan.case.folder import REPORT, dump_report

        with contextlib.suppress(OSError), contextlib.chdir(self.folder):
            (self.case / REPORT).write_text(dump_report(report), encoding="utf-8")


def _alarm(watcher: Watcher, optimizer: Any) -> None:
    """A guard saw gradients that are not finite and let them through: explain them, before they reach the weights."""
    from whynan.tensors.many import is_finite
    from whynan.watch.sentinel import Seen

    owners = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    bad = [p for p in owners if not is_finite(p.grad)]
    if bad:
        value = "nan" if any(bool(p.grad.isnan().any()) for p in bad if not p.grad.is_sparse) else "inf"
        tensors = [p.grad for p in bad]
        watcher.alarm(Seen("gradient", None, value, tensors, watcher.sentinel.steps, owner=bad[0]))


def speak_on_stderr() -> None:
    """Under `whynan run` the log goes to stderr, whatever the program does with its own logging."""
    if not LOG.handlers:
        handler = logging.StreamHandler(_Stderr())
        handler.setFormatter(logging.Formatter("%(message)s"))
        LOG.addHandler(handler)
        LOG.propagate = False


class _Stderr:
    """Whatever `sys.stderr` is when something is written."""

    def write(self, text: str) -> None:
        if sys.stderr is not None:
            sys.stderr.write(text)

    def flush(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()
