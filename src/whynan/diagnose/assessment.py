"""What a cause says about one failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from whynan.case.facts import Evidence

CONCLUSIVE = 0.85  # the local evidence alone names the cause
SUPPORTED = 0.55
POSSIBLE = 0.3


@dataclass(frozen=True)
class Assessment:
    """`score` 0..1. `decisive`: experiments whose passing proves this cause; `expects`: experiment -> will it pass?"""

    score: float
    summary: str = ""
    evidence: tuple[Evidence, ...] = ()
    decisive: tuple[str, ...] = ()
    expects: Mapping[str, bool] = field(default_factory=dict)


NO = Assessment(0.0)


def saw(what: str, measured: str, means: str) -> Evidence:
    return Evidence(what=what, measured=measured, means=means)
