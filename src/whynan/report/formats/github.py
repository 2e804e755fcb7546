"""Findings as workflow commands of GitHub Actions, which shows them at the lines of a pull request.

`::warning file=train.py,line=3,col=5,endLine=3,endColumn=20,title=WN102 log-of-softmax::message`
"""

from __future__ import annotations

from collections.abc import Sequence

from ...case.findings import Finding, RuleFacts

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def write(findings: Sequence[Finding], rules: Sequence[RuleFacts] = ()) -> str:
    """One line a finding."""
    return "".join(_line(finding) for finding in findings)


def _line(finding: Finding) -> str:
    properties = {
        "file": finding.file,
        "line": finding.line,
        "col": finding.column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
        "title": f"{finding.code} {finding.name}",
    }
    listed = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{_COMMANDS[finding.severity]} {listed}::{_data(finding.message)}\n"


def _data(text: str) -> str:
    """A message, escaped as the runner unescapes it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
