"""Which remedies to try, in which order, and what came of it.

Candidates are ranked by the causes of the report (`PREFER`, from facts/MEASUREMENTS.md 3.2), by how near to the birth they
are, and by size; each is tried on the patched script until a few are verified. Then the popular remedies are tried for the
sake of the reader who would reach for them, and those that fail are listed with what happened.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from whynan.case.facts import Rejected, Remedy, Report
from whynan.remedy import registry, trials
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.probe import Probe
from whynan.remedy.project import of_birth, project
from whynan.remedy.source import Source
from whynan.remedy.trials import Outcome, Script, Trial

WANTED = 3
"""Verified remedies after which no more are looked for."""
AFTER_FIRST = 4
"""Trials spent on alternatives once one remedy is verified."""
POPULAR = 3
UNASKED = 6
"""Trials of classes that no cause asks for, when those that are asked for have all failed."""
BARE_SHARE = 0.4
"""Share of the budget that the bare run may take before the search settles for a horizon."""
BEYOND = 100
"""Steps that a cured run must go on after the step that failed, at least, where it cannot be run to its end."""
ELSEWHERE = 14.0
"""Rank of a class that no cause asks for: after those that are asked for."""

_op = ["stable-formulation", "clamp", "add-eps", "safe-where", "guard-empty", "reinitialize"]
PREFER: dict[str, list[str]] = {
    "bad-input": ["drop-bad-batch", "clamp", "add-eps", "guard-empty", "impute-inputs", "stable-formulation"],
    "input-scale": ["clamp", "drop-bad-batch", "normalize-inputs", "stable-formulation", "clip-gradients"],
    "exploding-gradients": ["clip-before-step", "unscale-before-clip", "clip-gradients", "reinitialize", "clamp", "lower-learning-rate",
                            "normalization-layer"],
    "learning-rate-too-high": ["other", "zero-grad", "clip-before-step", "lower-learning-rate", "clip-gradients", "warmup", "change-optimizer"],
    "bad-initialization": ["initialize-memory", "reinitialize", *_op[:4], "guard-empty", "normalization-layer", "add-jitter"],
    "low-precision-overflow": ["full-precision", "bfloat16", "mask-safe-softmax", "other", "clamp"],
    "low-precision-underflow": ["raise-optimizer-eps", "full-precision", "bfloat16", "add-eps", "clamp"],
    "log-of-zero": _op,
    "division-by-zero": ["guard-empty", "stable-formulation", "clamp", "add-eps", "safe-where", "raise-optimizer-eps"],
    "domain-error": ["clamp", "stable-formulation", "add-eps", "safe-where", "reinitialize"],
    "exp-overflow": ["stable-formulation", "clamp", "lower-learning-rate"],
    "arithmetic-overflow": ["clamp", "add-eps", "clip-gradients", "full-precision", "lower-learning-rate", "drop-bad-batch"],
    "singular-gradient": ["safe-where", "stable-formulation", "add-eps", "clamp", "add-jitter", "reinitialize"],
    "fully-masked-softmax": ["mask-safe-softmax", "guard-empty", "full-precision"],
    "empty-reduction": ["guard-empty", "mask-safe-softmax", "drop-bad-batch", "clamp"],
    "optimizer-misuse": ["clip-before-step", "unscale-before-clip", "zero-grad", "raise-optimizer-eps", "change-optimizer", "clamp", "other",
                         "guard-empty", "add-eps", "clip-gradients", "lower-learning-rate"],
    "loss-scaling-misuse": ["unscale-before-clip", "other", "bfloat16", "full-precision"],
    "uninitialized-memory": ["initialize-memory", "reinitialize"],
    "ill-conditioned-linalg": ["add-jitter", "reinitialize", "stable-formulation", "clamp"],
    "nondeterministic-fault": ["initialize-memory"],
    "indexing-or-padding": ["guard-empty", "mask-safe-softmax", "clamp", "stable-formulation", "add-eps", "drop-bad-batch"],
    "other": _op,
}  # fmt: skip


def propose(
    report: Report, *, script: str | Path, argv: tuple[str, ...] = (), budget_s: float = 60.0, cwd: str | Path | None = None,
    module: str | None = None,
) -> tuple[tuple[Remedy, ...], tuple[Rejected, ...]]:
    """Find remedies for a failure and try them on copies of the script, within `budget_s` seconds of trials.

    Returns the remedies, verified ones first in the order of preference, and the popular ones that do not cure.
    """  # fmt: skip
    if report.verdict == "healthy" or report.birth is None:
        return (), ()
    target = Script(Path(script), tuple(argv), Path(cwd) if cwd else Path.cwd(), module)
    found = candidates(report, target)
    if not found:
        return (), ()
    return Search(report, target, found, budget_s).run()


def candidates(report: Report, script: Script) -> list[Candidate]:
    """Every sound candidate, the most promising first, each patch once."""
    sources = project(script)
    born = of_birth(report, sources, script)
    found: dict[tuple[str, str], tuple[float, Candidate]] = {}
    for candidate in _all(report, sources, born):
        candidate = importing(candidate)
        key = (candidate.source.rel, candidate.after) if _fits(candidate) else None
        if key is None or not candidate.sound:
            continue
        value = rank(report, candidate)
        if key not in found or value < found[key][0]:
            found[key] = (value, candidate)
    return [c for _, c in sorted(found.values(), key=lambda pair: pair[0])]


def _all(report: Report, sources: list[Source], born: Source | None) -> Iterator[Candidate]:
    for kind in registry.load().values():
        places = sources if kind.where == "project" else ([born] if born else [])
        for source in places:
            yield from kind.propose(report, source)


def _fits(candidate: Candidate) -> bool:
    try:
        return bool(candidate.after)
    except ValueError:
        return False


def importing(candidate: Candidate) -> Candidate:
    """With the imports that the new text needs and the file lacks."""
    names = candidate.source.aliases
    new = "".join(e.text for e in candidate.edits)
    extra: list[Edit] = []
    for root in ("torch", "numpy", "math"):
        if f"{root}." in new and root not in names:
            extra += candidate.source.importing(f"{root}.")
    missing = tuple(e for e in extra if e not in candidate.edits)
    if not missing:
        return candidate
    return Candidate(candidate.class_, candidate.title, candidate.source, (*candidate.edits, *missing), candidate.safety, candidate.order,
                     candidate.popular, candidate.live)  # fmt: skip


def rank(report: Report, candidate: Candidate) -> float:
    """Lower is tried earlier: the place of the class among the remedies of the causes, the candidate's own order, its size."""
    return place(report, candidate.class_) + candidate.order + 0.03 * candidate.changed


def place(report: Report, class_: str) -> float:
    """How early the causes of the report ask for a remedy class; ELSEWHERE if none does."""
    base = ELSEWHERE
    for i, cause in enumerate(report.causes[:4]):
        classes = PREFER.get(cause.class_, _op)
        if class_ in classes:
            base = min(base, 2.5 * i + 0.9 * classes.index(class_))
    return base


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
        self.try_popular()
        return self.remedies(), self.rejected()

    def look_at_the_failure(self) -> bool:
        """Run the script as it is, to know what a cure must achieve; False where no trial could tell a cure from a failure.

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
        since_first = unasked = 0
        for candidate in chosen:
            if len(self.verified) >= WANTED or since_first >= AFTER_FIRST or self.left <= self.bare.seconds / 2:
                return
            if self.verified:
                if not self.asked(candidate):
                    return
                since_first += 1
                if candidate.class_ in {c.class_ for c, _ in self.verified}:
                    continue
            elif not self.asked(candidate):
                unasked += 1
                if unasked > UNASKED:
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
        trial = trials.judge(self.script, candidate.patch, max(1.0, self.left), self.bare, self.probe, self.horizon)
        (self.verified if trial.verified else self.failed).append((candidate, trial))

    def remedies(self) -> tuple[Remedy, ...]:
        order = {id(c): i for i, c in enumerate(self.found)}
        chosen = sorted(self.verified, key=lambda pair: order[id(pair[0])])
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
            if candidate.class_ not in cured:
                lines.setdefault(candidate.class_, Rejected(class_=candidate.class_, why=f"{candidate.title}: {trial.why}"))
        return tuple(lines.values())


def _remedy(candidate: Candidate, trial: Trial | None) -> Remedy:
    return Remedy(class_=candidate.class_, title=candidate.title, patch=candidate.patch, verified=bool(trial and trial.verified),
                  trial=trial.facts if trial else None, safety=candidate.safety)  # fmt: skip
