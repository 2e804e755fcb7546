"""The trials of one report: what is tried, in which order, when to stop, and what is said about the rest."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

from whynan.case.facts import Rejected, Remedy, Report
from whynan.case.facts import Trial as TrialFacts
from whynan.remedy import trials
from whynan.remedy.candidate import Candidate
from whynan.remedy.lived import Live, LiveTrials, is_poor, replayed
from whynan.remedy.preferences import ELSEWHERE, PREFER, place
from whynan.remedy.probe import Probe
from whynan.remedy.project import of_birth, project
from whynan.remedy.trials import DIED, Outcome, Script, Trial

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
FIRST_LOSSES, SAME = 3, 0.02
"""A rewriting that keeps the values gives the same first losses as the bare run, within this relative difference."""
KEEP_VALUES = ("stable-formulation", "safe-where")
GUARDS = ("clamp", "add-eps", "guard-empty")
"""They keep sound values as well, unless their bound is too wide; then one with a narrower bound is named first."""
SLOWER = 3.0
"""A patched run may take this many times as long as the bare one."""
TOO_LONG = 2.0
"""A program that took this many times the bare run's share before it failed will not fail within that share."""
DEAR = 6
"""Where fewer trials than this fit into the budget, what has passed in the loop is tried first."""


OURS = ("AttributeError", "TypeError", "NameError", "RuntimeError", "UnboundLocalError", "ValueError")
"""What a program raises where a change does not fit into it, and a failure of numbers seldom."""


CHANCE = "nondeterministic-fault"


class Search:
    """The trials of one report."""

    def __init__(
        self, report: Report, script: Script, found: list[Candidate], budget: float, live: LiveTrials | None = None
    ) -> None:
        self.report, self.script, self.budget = report, script, budget
        self.found = _where_chance_decides(found) if _first_cause(report) == CHANCE else found
        self.live = live or LiveTrials()
        self.deadline = time.monotonic() + budget
        self.verified: list[tuple[Candidate, Trial]] = []
        self.failed: list[tuple[Candidate, Trial]] = []
        self.felt: set[int] = set()  # verified guards (by id) that changed the losses before the failure
        self.bare = Outcome()
        self.probe: Probe | None = None
        self.horizon: int | None = None

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def run(self) -> tuple[tuple[Remedy, ...], tuple[Rejected, ...]]:
        if not self.found:
            return (), ()
        if not self.look_at_the_failure():
            return self.by_replay() or self.untested(), self.rejected()
        self.try_all(self.ordered([c for c in self.found if not c.popular or self.asked(c)]))
        if not self.verified:
            self.try_pairs()
        self.try_popular()
        return self.remedies(), self.rejected()

    def look_at_the_failure(self) -> bool:
        """Run the script as it is, to know what a cure must achieve; False where no trial could tell a cure from a
        failure.

        A script that does not end within its share of the budget is followed to a horizon beyond its failure.
        """
        if too_long(self.report, self.budget) and self.by_replay():
            return False
        self.bare = trials.run(self.script, None, BARE_SHARE * self.left, stop=False)
        if self.elsewhere():
            return False
        if self.bare.timed_out:
            failed = self.bare.bad_step
            self.horizon = max(2 * failed, failed + BEYOND) if failed is not None else None
            return self.horizon is not None
        if self.bare.bad is None and self.bare.crash is None:
            self.probe = self.probe_at_birth()
            seen = trials.run(self.script, None, self.left, stop=True, probe=self.probe) if self.probe else Outcome()
            return seen.bad is not None
        return True

    def elsewhere(self) -> bool:
        """Whether the copy ended for a reason of its own, long before the failure: it proves nothing then."""
        symptom = self.report.symptom
        early = symptom is not None and self.bare.steps < symptom.step - 1
        return self.bare.crash is not None and self.bare.bad is None and early

    @property
    def unsteady(self) -> bool:
        """Whether the bare run failed in another step than the run that is explained: chance decides."""
        symptom = self.report.symptom
        known = symptom is not None and self.bare.bad_step is not None and not self.bare.timed_out
        return known and symptom is not None and abs(symptom.step - (self.bare.bad_step or 0)) > 1

    def ordered(self, chosen: list[Candidate]) -> list[Candidate]:
        """Those that failed in the running loop at the end, those whose like failed there before them.

        What cannot do better in a run from the start is rejected at once.
        """
        dear = self.left < DEAR * self.bare.seconds
        waiting: list[tuple[int, Candidate]] = []
        for candidate in chosen:
            seen = self.live.exact(candidate)
            if seen is not None and seen.hopeless:
                self.failed.append((candidate, Trial(False, seen.words)))
                continue
            alike = self.live.of(candidate)
            if alike is not None and alike.usable and not alike.passed:
                waiting.append((3 if seen is not None else 2, candidate))
            else:
                waiting.append((0 if dear and seen is not None and seen.lasting else 1, candidate))
        return [c for _, c in sorted(waiting, key=lambda pair: pair[0])]

    def probe_at_birth(self) -> Probe | None:
        birth = self.report.birth
        source = of_birth(self.report, project(self.script), self.script)
        return Probe(source.rel, birth.line, birth.kind) if birth and birth.line and source else None

    def try_all(self, chosen: list[Candidate]) -> None:
        """Down the list until a few classes are verified; a cure that leaves a poor loss does not end the search."""
        since_first = unasked = 0
        for candidate in chosen:
            good = {c.class_ for c, t in self.verified if not self.poor(c, t)}
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
            seen = self.live.exact(candidate)
            if seen is not None and self.failed_live(candidate):
                self.failed.append((candidate, Trial(False, seen.words)))
            elif self.left > self.bare.seconds:
                self.judge(candidate)

    def asked(self, candidate: Candidate) -> bool:
        """Whether a cause of the report asks for the class."""
        return place(self.report, candidate.class_) < ELSEWHERE

    def failed_live(self, candidate: Candidate) -> bool:
        seen = self.live.exact(candidate)
        return seen is not None and seen.usable and not seen.passed

    def broke(self, trial: Trial) -> bool:
        """Whether the patch itself does not run (a dtype, a missing method): that says nothing about the remedy."""
        crash = trial.outcome.crash if trial.outcome is not None and trial.outcome.bad is None else None
        if crash == DIED:
            return True
        kind, _, _ = (crash or "").partition(":")
        symptom = self.report.symptom
        known = (self.bare.crash or "", symptom.value or "" if symptom is not None else "")
        return kind in OURS and not any(text.startswith(f"{kind}:") for text in known)

    def judge(self, candidate: Candidate) -> None:
        budget = min(self.left, SLOWER * self.bare.seconds + 10.0) if not self.horizon else self.left
        trial = self.trial(candidate, budget)
        if trial.verified and self.unsteady:
            trial = self.trial(candidate, budget)  # once may have been luck
        if trial.verified and trial.outcome and candidate.class_ in KEEP_VALUES and not self.same_start(trial.outcome):
            trial = replace(trial, verified=False, why="it does not give the losses of the original before the failure")
        if trial.verified and trial.outcome and candidate.class_ in GUARDS and not self.same_start(trial.outcome):
            self.felt.add(id(candidate))
        (self.verified if trial.verified else self.failed).append((candidate, trial))

    def trial(self, candidate: Candidate, budget: float) -> Trial:
        return trials.judge(self.script, candidate.patch, max(1.0, budget), self.bare, self.probe, self.horizon)

    def same_start(self, outcome: Outcome) -> bool:
        """Whether the first losses are those of the bare run, as far as that was sound."""
        failed = self.bare.bad_step if self.bare.bad_step is not None else self.bare.steps
        old = [v for s, _, v in self.bare.losses if s < failed][:FIRST_LOSSES]
        new = [v for _, _, v in outcome.losses][: len(old)]
        return all(abs(a - b) <= SAME * (abs(a) + 0.1) for a, b in zip(old, new))

    def poor(self, candidate: Candidate, trial: Trial) -> bool:
        """Whether a better cure is worth looking for: the loss ends high, or sound values were changed as well."""
        return poor(trial) or id(candidate) in self.felt

    def remedies(self) -> tuple[Remedy, ...]:
        order = {id(c): i for i, c in enumerate(self.found)}
        chosen = sorted(self.verified, key=lambda pair: (self.poor(*pair), order.get(id(pair[0]), len(order))))
        apt = [pair for pair in chosen if self.asked(pair[0])]
        return tuple(_remedy(c, t) for c, t in apt or chosen) or self.by_replay() or self.untested()

    def by_replay(self) -> tuple[Remedy, ...]:
        """Patches that nobody could run from the start, and that held in the running loop (`replayed`), one a class."""
        finished = {id(c) for c, t in self.failed if t.outcome is not None}
        best: dict[str, Remedy] = {}
        for candidate in self.found:
            seen = self.live.exact(candidate)
            if id(candidate) not in finished and seen is not None and replayed(seen) and self.asked(candidate):
                best.setdefault(candidate.class_, replace(_remedy(candidate, None, seen), verified=True))
        return tuple(best.values())[:WANTED]

    def untested(self) -> tuple[Remedy, ...]:
        """The best candidates nobody could try, as suggestions."""
        tried = {id(c) for c, _ in self.failed}
        rest = [c for c in self.found if id(c) not in tried and self.asked(c) and not self.failed_live(c)]
        return tuple(_remedy(c, None, self.live.exact(c)) for c in rest[:2])

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
            unfinished = unfinished and not self.failed_live(candidate)
            if candidate.class_ not in cured and not unfinished and not self.broke(trial):
                lines.setdefault(
                    candidate.class_, Rejected(class_=candidate.class_, why=f"{candidate.title}: {trial.why}")
                )
        for candidate in self.found:  # what only the loop has shown
            live = self.live.exact(candidate)
            told = candidate.class_ in cured or candidate.class_ in lines
            if live is not None and self.failed_live(candidate) and not told:
                lines[candidate.class_] = Rejected(class_=candidate.class_, why=f"{candidate.title}: {live.words}")
        return tuple(lines.values())


def _remedy(candidate: Candidate, trial: Trial | None, live: Live | None = None) -> Remedy:
    seen = trial.facts if trial else None
    if seen is None and live is not None and live.usable:
        seen = TrialFacts(
            how="replay",
            steps=live.steps,
            finite=live.finite,
            loss_before=live.loss_before,
            loss_after=live.loss_after,
        )
    return Remedy(
        class_=candidate.class_,
        title=candidate.title,
        patch=candidate.patch,
        verified=bool(trial and trial.verified),
        trial=seen,
        safety=candidate.safety,
    )


def too_long(report: Report, budget: float) -> bool:
    """Whether a copy of the program cannot be expected to come to its failure within the bare run's share."""
    return report.run.seconds > TOO_LONG * BARE_SHARE * budget


def _first_cause(report: Report) -> str | None:
    return report.causes[0].class_ if report.causes else None


def _where_chance_decides(found: list[Candidate]) -> list[Candidate]:
    """A run that stays finite proves nothing about a change there; only what ends the chance itself is tried."""
    return [c for c in found if c.class_ in PREFER[CHANCE]]


def poor(trial: Trial) -> bool:
    """Whether a cured run ended clearly above the loss before the failure (or, with nothing to compare, high at all).

    Such a cure counts as verified, but another one is looked for and named first.
    """
    return is_poor(trial.loss_before, trial.loss_after)


def both(a: Candidate, b: Candidate) -> Candidate | None:
    """Two candidates as one; None where they touch the same text, different files, or are too much together."""
    if a.source is not b.source or any(x.start < y.end and y.start < x.end for x in a.edits for y in b.edits):
        return None
    if {(e.start, e.end) for e in a.edits} & {(e.start, e.end) for e in b.edits}:
        return None
    pair = Candidate(a.class_, f"{a.title}, and {b.title}", a.source, (*a.edits, *b.edits), a.safety, a.order + b.order)
    return pair if pair.sound else None
