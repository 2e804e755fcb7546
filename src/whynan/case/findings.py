"""A finding: something at a place in a source file that a reader should look at. Plain data, like all of `case`.

`whynan lint` makes findings from source code, a report of `whynan run` can be told as findings too
(`report.formats.findings_of`); the writers in `report/formats` print either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """One finding. Lines are 1-based; columns are 1-based too and count characters, as editors do."""

    file: str
    line: int
    column: int
    code: str  # "WN102"
    name: str  # "log-of-softmax"
    message: str
    end_line: int
    end_column: int
    severity: Severity = "warning"
    source: str | None = None  # the first line of the place, without its newline
    fixable: bool = False


@dataclass(frozen=True, kw_only=True)
class RuleFacts:
    """What a format says once about a rule: its code, its name, one sentence, its page."""

    code: str
    name: str
    title: str
    page: str = ""
    causes: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
