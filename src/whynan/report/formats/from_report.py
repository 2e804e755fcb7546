"""A report of `whynan run` told as findings: the birthplace with its cause, and the cures at the same place."""

from __future__ import annotations

from ...case.facts import Birth, Report
from ...case.findings import Finding, RuleFacts
from .. import words

CODE = "WN000"


def findings_of(report: Report) -> list[Finding]:
    """One finding for the birthplace, where the report has one in a file; none for a healthy report."""
    birth = report.birth
    if birth is None or birth.file is None or birth.line is None:
        return []
    start, end_line, end = _columns(birth)
    return [
        Finding(
            file=birth.file,
            line=birth.line,
            column=start,
            end_line=end_line,
            end_column=end,
            code=CODE,
            name=report.causes[0].class_ if report.causes else "nonfinite",
            message=_message(report),
            severity="error",
            source=birth.source,
            fixable=any(remedy.verified and remedy.patch for remedy in report.remedies),
        )
    ]


def rules_of(report: Report) -> list[RuleFacts]:
    """The rule that the findings of a report are under."""
    causes = tuple(dict.fromkeys(cause.class_ for cause in report.causes))
    return [RuleFacts(code=CODE, name="nonfinite", title="A non-finite value was born here", causes=causes)]


def _columns(birth: Birth) -> tuple[int, int, int]:
    """(first column, last line, column after the end), 1-based characters; the whole line where nothing is known."""
    source, line = birth.source or "", birth.line or 1
    if birth.column is None or birth.end_column is None:
        return 1, line, len(source) + 1
    end_line = birth.end_line or line
    end = _character(source, birth.end_column) if end_line == line else birth.end_column
    return _character(source, birth.column) + 1, end_line, end + 1


def _character(source: str, offset: int) -> int:
    """Characters before a UTF-8 offset."""
    return len(source.encode()[:offset].decode(errors="ignore")) if source else offset


def _message(report: Report) -> str:
    parts = [f"{words.headline(report)}."]
    if report.causes:
        cause = report.causes[0]
        parts.append(f"{words.cause_title(cause)}: {cause.summary}")
    cures = [remedy for remedy in report.remedies if remedy.verified]
    if cures:
        parts.append(f"Fix: {cures[0].title} ({words.remedy_standing(cures[0])}).")
    return " ".join(part.rstrip() for part in parts if part)
