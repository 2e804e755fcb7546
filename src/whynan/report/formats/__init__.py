"""Findings as text, JSON, GitHub annotations or SARIF 2.1.0: for `whynan lint`, and for reports told as findings.

    write(findings, "sarif", rules)      the whole output as one string
    findings_of(report)                  a report of `whynan run` as findings
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...case.findings import Finding, RuleFacts
from ...errors import UsageError
from . import github, json, sarif, text
from .from_report import findings_of as findings_of
from .from_report import rules_of as rules_of

Write = Callable[[Sequence[Finding], Sequence[RuleFacts]], str]

FORMATS: dict[str, Write] = {
    "text": text.write,
    "json": json.write,
    "github": github.write,
    "sarif": sarif.write,
}


def write(findings: Sequence[Finding], format_: str, rules: Sequence[RuleFacts] = ()) -> str:
    """The findings in a format. UsageError with the menu for a format that there is not."""
    if format_ not in FORMATS:
        raise UsageError(f"{format_!r} is no output format. Valid formats are: {', '.join(FORMATS)}.")
    return FORMATS[format_](findings, rules)
