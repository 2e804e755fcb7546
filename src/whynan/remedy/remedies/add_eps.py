"""add-eps: a small number where a zero is the trouble."""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy.candidate import Candidate
from whynan.remedy.guarding import guarded
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("add-eps", "add an eps inside the op")
def add_eps(report: Report, source: Source) -> list[Candidate]:
    """Add a small constant to the argument of the op that failed: inside the root, in the denominator, inside the
    logarithm.

    Outside the op it does not help: sqrt(x) + eps has the derivative of sqrt(x). Changes values a little near zero.
    """
    return guarded(report, source, "add-eps")
