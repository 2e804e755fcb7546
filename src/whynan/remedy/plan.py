"""From a report to remedies: every candidate of every kind, ranked, tried, and told.

Candidates are ranked by the causes of the report (`preferences`), by how near to the birth they are, and by size; each
is tried on the patched script (`search`) until a few are verified. Then the popular remedies are tried for the sake of
the reader who would reach for them, and those that fail are listed with what happened.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from whynan.case.facts import Rejected, Remedy, Report
from whynan.remedy import registry
from whynan.remedy.advice import advise
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.lived import LiveTrials
from whynan.remedy.preferences import rank
from whynan.remedy.project import of_birth, project
from whynan.remedy.search import Search, too_long
from whynan.remedy.source import Source
from whynan.remedy.tidying import tidied
from whynan.remedy.trials import Script

if TYPE_CHECKING:
    from whynan.diagnose.inquest import Inquest
    from whynan.diagnose.ranking import Diagnosis
    from whynan.watch.attempts import Attempt, Outcome

LIVE_SHARE = 1 / 6
"""Share of the budget that trials in the running loop may take."""
LIVE_ONLY = 0.8
"""The same, where copies of the program cannot be run in time."""


def propose(
    report: Report,
    *,
    script: str | Path,
    argv: tuple[str, ...] = (),
    budget_s: float = 60.0,
    cwd: str | Path | None = None,
    module: str | None = None,
    live: LiveTrials | None = None,
) -> tuple[tuple[Remedy, ...], tuple[Rejected, ...]]:
    """Find remedies for a failure and try them on copies of the script, within `budget_s` seconds of trials.

    `script` is the file that runs as `__main__`, `module` its name where it was started with `-m`; `live` what is known
    from trials in the running loop. Returns the remedies, verified ones first in the order of preference, then advice
    where no patch can cure, and the popular ones that do not cure.
    """
    if report.verdict == "healthy" or report.birth is None:
        return (), ()
    target = Script(Path(script), tuple(argv), Path(cwd) if cwd else Path.cwd(), module)
    return _searched(report, target, candidates(report, target), budget_s, live)


def cure(
    inquest: Inquest, diagnosis: Diagnosis, report: Report, script: Script, *, budget_s: float = 60.0
) -> Generator[Attempt, Outcome, tuple[tuple[Remedy, ...], tuple[Rejected, ...]]]:
    """`live_trials` in the user's loop, then `propose`: both on one list of candidates.

    Yields attempts; where nothing can be executed again it yields none. The live trials take a sixth of the budget, or
    most of it where a copy of the program would take too long.
    """
    from whynan.remedy.live import live_trials  # it needs torch; who only reads patches does not

    if report.verdict == "healthy" or report.birth is None:
        return (), ()
    begun = time.monotonic()
    found = candidates(report, script)
    share = LIVE_SHARE if not too_long(report, budget_s) else LIVE_ONLY
    live = yield from live_trials(inquest, diagnosis, report, found, budget=share * budget_s)
    return _searched(report, script, found, max(0.0, budget_s - (time.monotonic() - begun)), live)


def _searched(
    report: Report, script: Script, found: list[Candidate], budget_s: float, live: LiveTrials | None
) -> tuple[tuple[Remedy, ...], tuple[Rejected, ...]]:
    """What the search finds; advice for what no patch can cure comes behind what is verified."""
    remedies, rejected = Search(report, script, found, budget_s, live).run() if found else ((), ())
    advice = tuple(advise(report, script, project(script)))
    proved = tuple(r for r in remedies if r.verified)
    return (*proved, *advice, *(r for r in remedies if not r.verified)), rejected


def candidates(report: Report, script: Script) -> list[Candidate]:
    """Every sound candidate, the most promising first, each patch once."""
    sources = project(script)
    born = of_birth(report, sources, script)
    found: dict[tuple[str, str], tuple[float, Candidate]] = {}
    for candidate in _all(report, sources, born):
        candidate = importing(candidate)
        if not _fits(candidate):
            continue
        candidate = tidied(candidate)
        key = (candidate.source.rel, candidate.after)
        if not candidate.sound:
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
    return replace(candidate, edits=(*candidate.edits, *missing))
