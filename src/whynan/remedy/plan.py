"""From a report to remedies: every candidate of every kind, ranked, tried, and told.

Candidates are ranked by the causes of the report (`preferences`), by how near to the birth they are, and by size; each
is tried on the patched script (`search`) until a few are verified. Then the popular remedies are tried for the sake of
the reader who would reach for them, and those that fail are listed with what happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from whynan.case.facts import Rejected, Remedy, Report
from whynan.remedy import registry
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.preferences import rank
from whynan.remedy.project import of_birth, project
from whynan.remedy.search import Search
from whynan.remedy.source import Source
from whynan.remedy.trials import Script


def propose(
    report: Report,
    *,
    script: str | Path,
    argv: tuple[str, ...] = (),
    budget_s: float = 60.0,
    cwd: str | Path | None = None,
    module: str | None = None,
) -> tuple[tuple[Remedy, ...], tuple[Rejected, ...]]:
    """Find remedies for a failure and try them on copies of the script, within `budget_s` seconds of trials.

    Returns the remedies, verified ones first in the order of preference, and the popular ones that do not cure.
    """
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
    return Candidate(
        candidate.class_,
        candidate.title,
        candidate.source,
        (*candidate.edits, *missing),
        candidate.safety,
        candidate.order,
        candidate.popular,
        candidate.live,
    )
