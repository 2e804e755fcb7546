"""Findings for people: the place, the rule, one sentence, and the line with carets under the expression."""

from __future__ import annotations

from collections.abc import Sequence

from ...case.findings import Finding, RuleFacts
from ..words import visible


def write(findings: Sequence[Finding], rules: Sequence[RuleFacts] = ()) -> str:
    """One block a finding, a blank line between; "" where there is none."""
    return "\n".join(_block(finding) for finding in findings)


def _block(finding: Finding) -> str:
    fix = " [fixable]" if finding.fixable else ""
    place = f"{visible(finding.file)}:{finding.line}:{finding.column}"
    head = f"{place}: {finding.code} {finding.name}{fix}\n    {visible(finding.message)}\n"
    if finding.source is None:
        return head
    number = str(finding.line)
    return head + f"  {number} | {visible(finding.source)}\n  {' ' * len(number)} | {_carets(finding)}\n"


def _carets(finding: Finding) -> str:
    """Carets under the part of the first line that the finding covers, as `visible` shows the line."""
    source = finding.source or ""
    end = finding.end_column - 1 if finding.end_line == finding.line else len(source.rstrip())
    before, until = (len(visible(source[:at])) for at in (finding.column - 1, end))
    return " " * before + "^" * max(1, until - before)
