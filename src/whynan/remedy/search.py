"""The trials of one report: what is tried, in which order, when to stop, and what is said about the rest."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

from whynan.case.facts import Rejected, Remedy, Report
from whynan.remedy import trials
from whynan.remedy.candidate import Candidate
from whynan.remedy.preferences import ELSEWHERE, place
from whynan.remedy.probe import Probe
from whynan.remedy.project import of_birth, project
from whynan.remedy.trials import Outcome, Script, Trial

WANTED = 3
"""Verified remedies after which no more are looked for."""
AFTER_FIRST = 3
"""Trials spent on alternatives once one remedy is verified."""
POPULAR = 3
UNASKED = 6
"""Trials of classes that no cause asks for, when those that are asked for have all failed."""
MOST_HELD, PAIRS = 4, 4
"""Of how many candidates pairs are made, and how many pairs are tried."""
BARE_SHARE = 0.4
"""Share of the budget that the bare run may take before the search settles for a horizon."""
BEYOND = 100
"""Steps that a cured run must go on after the step that failed, at least, where it cannot be run to its end."""
HIGH = 1e3
"""A loss that is suspicious by itself, where the run failed before there was a loss to compare with."""
FIRST_LOSSES, SAME = 3, 0.02
"""A rewriting that keeps the values gives the same first losses as the bare run, within this relative difference."""
KEEP_VALUES = ("stable-formulation", "safe-where")
SLOWER = 3.0
"""A patched run may take this many times as long as the bare one."""


class Search:
    """The trials of one report."""

    def __init__(self, report: Report, script: Script, found: list[Candidate], budget: float) -> None:
        self.report, self.script, self.found = report, script, found
        self.deadline = time.monotonic() + budget
        self.verified: list[tuple[Candidate, Trial]] = []
        self.failed: list[tuple[Candidate, Trial]] = []
        self.bare = Outcome()
        self.probe: Probe | None = None
        self.horizon: int | None = None

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def run(self) -> tuple[tuple[Remedy, ...], tuple[Rejected, ...]]:
        if not self.look_at_the_failure():
            return self.untested(), ()
        main = [c for c in self.found if not c.popular or self.asked(c)]
        self.try_all(main)
        if not self.verified:
            self.try_pairs()
        self.try_popular()
        return self.remedies(), self.rejected()

    def look_at_the_failure(self) -> bool:
        """Run the script as it is, to know what a cure must achieve; False where no trial could tell a cure from a
        failure.

        A script that does not end within its share of the budget is followed to a horizon beyond its failure.
        """
        self.bare = trials.run(self.script, None, BARE_SHARE * self.left, stop=False)
        if self.bare.timed_out:
            failed = self.bare.bad_step
            self.horizon = max(2 * failed, failed + BEYOND) if failed is not None else None
            return self.horizon is not None
        if self.bare.bad is None and self.bare.crash is None:
            self.probe = self.probe_at_birth()
            seen = trials.run(self.script, None, self.left, stop=True, probe=self.probe) if self.probe else Outcome()
            return seen.bad is not None
        return True

    def probe_at_birth(self) -> Probe | None:
        birth = self.report.birth
        source = of_birth(self.report, project(self.script), self.script)
        return Probe(source.rel, birth.line, birth.kind) if birth and birth.line and source else None

    def try_all(self, chosen: list[Candidate]) -> None:
        """Down the list until a few classes are verified; a cure that leaves a poor loss does not end the search."""
        since_first = unasked = 0
        for candidate in chosen:
            good = {c.class_ for c, t in self.verified if not poor(t)}
            if len(good) >= WANTED or since_first >= AFTER_FIRST or self.left <= self.bare.seconds / 2:
                return
            if candidate.class_ in good or (self.verified and not self.asked(candidate)):
                continue
            since_first += bool(self.verified)
            unasked += not self.asked(candidate)
            if unasked > UNASKED:
                return
            self.judge(candidate)

    def try_pairs(self) -> None:
        """Two changes at once, when none cures alone: those that held out longest, in different places of one file."""
        held = [(c, t) for c, t in self.failed if t.outcome and t.outcome.bad_step is not None and self.asked(c)]
        held = sorted(held, key=lambda pair: -(pair[1].outcome.bad_step or 0) if pair[1].outcome else 0)[:MOST_HELD]
        pairs = [pair for a, b in itertools.combinations([c for c, _ in held], 2) if (pair := both(a, b))]
        for candidate in pairs[:PAIRS]:
            if self.verified or self.left <= self.bare.seconds:
                return
            self.judge(candidate)

    def try_popular(self) -> None:
        known = {c.class_ for c, _ in (*self.verified, *self.failed)}
        popular = [c for c in self.found if c.popular and c.class_ not in known]
        for candidate in popular[:POPULAR]:
            if self.left > self.bare.seconds:
                self.judge(candidate)

    def asked(self, candidate: Candidate) -> bool:
        """Whether a cause of the report asks for the class."""
        return place(self.report, candidate.class_) < ELSEWHERE

    def judge(self, candidate: Candidate) -> None:
        budget = min(self.left, SLOWER * self.bare.seconds + 10.0) if not self.horizon else self.left
        trial = trials.judge(self.script, candidate.patch, max(1.0, budget), self.bare, self.probe, self.horizon)
        if trial.verified and trial.outcome and candidate.class_ in KEEP_VALUES and not self.same_start(trial.outcome):
            trial = replace(trial, verified=False, why="it does not give the losses of the original before the failure")
        (self.verified if trial.verified else self.failed).append((candidate, trial))

    def same_start(self, outcome: Outcome) -> bool:
        """Whether the first losses are those of the bare run, as far as that was sound."""
        failed = self.bare.bad_step if self.bare.bad_step is not None else self.bare.steps
        old = [v for s, _, v in self.bare.losses if s < failed][:FIRST_LOSSES]
        new = [v for _, _, v in outcome.losses][: len(old)]
        return all(abs(a - b) <= SAME * (abs(a) + 0.1) for a, b in zip(old, new))

    def remedies(self) -> tuple[Remedy, ...]:
        order = {id(c): i for i, c in enumerate(self.found)}
        chosen = sorted(self.verified, key=lambda pair: (poor(pair[1]), order.get(id(pair[0]), len(order))))
        apt = [pair for pair in chosen if self.asked(pair[0])]
        return tuple(_remedy(c, t) for c, t in apt or chosen) or self.untested()

    def untested(self) -> tuple[Remedy, ...]:
        """The best candidates nobody could try, as suggestions."""
        tried = {id(c) for c, _ in self.failed}
        rest = [c for c in self.found if id(c) not in tried and self.asked(c)]
        return tuple(_remedy(c, None) for c in rest[:2])

    def rejected(self) -> tuple[Rejected, ...]:
        """One line for each class that was tried and did not cure, the popular ones first."""
        cured = {c.class_ for c, _ in self.verified if self.asked(c)}
        lines: dict[str, Rejected] = {}
        for candidate, _ in self.verified if cured else ():
            if not self.asked(candidate):
                why = f"{candidate.title}: this run stays finite, but what caused the failure is still there"
                lines[candidate.class_] = Rejected(class_=candidate.class_, why=why)
        for candidate, trial in sorted(self.failed, key=lambda pair: not pair[0].popular):
            unfinished = trial.outcome is None or trial.outcome.timed_out  # says nothing about the change
            if candidate.class_ not in cured and not unfinished:
                lines.setdefault(
                    candidate.class_, Rejected(class_=candidate.class_, why=f"{candidate.title}: {trial.why}")
                )
        return tuple(lines.values())


def _remedy(candidate: Candidate, trial: Trial | None) -> Remedy:
    return Remedy(
        class_=candidate.class_,
        title=candidate.title,
        patch=candidate.patch,
        verified=bool(trial and trial.verified),
        trial=trial.facts if trial else None,
        safety=candidate.safety,
    )


def poor(trial: Trial) -> bool:
    """Whether a cured run ended clearly above the loss before the failure (or, with nothing to compare, high at all).

    Such a cure counts as verified, but another one is looked for and named first.
    """
    before, after = trial.loss_before, trial.loss_after
    if after is None:
        return False
    return after > HIGH if before is None else after > before + abs(before) + 0.5


def both(a: Candidate, b: Candidate) -> Candidate | None:
    """Two candidates as one; None where they touch the same text, different files, or are too much together."""
    if a.source is not b.source or any(x.start < y.end and y.start < x.end for x in a.edits for y in b.edits):
        return None
    if {(e.start, e.end) for e in a.edits} & {(e.start, e.end) for e in b.edits}:
        return None
    pair = Candidate(a.class_, f"{a.title}, and {b.title}", a.source, (*a.edits, *b.edits), a.safety, a.order + b.order)
    return pair if pair.sound else None
