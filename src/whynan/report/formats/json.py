"""Findings for programs: strict JSON, `{"schema": "whynan.findings/1", "findings": [...]}`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ...case import strict_json
from ...case.findings import Finding, RuleFacts

SCHEMA = "whynan.findings/1"


def write(findings: Sequence[Finding], rules: Sequence[RuleFacts] = ()) -> str:
    """All findings as one JSON object; its rules are those that are named by a finding."""
    named = {finding.code for finding in findings}
    value = {
        "schema": SCHEMA,
        "findings": [asdict(finding) for finding in findings],
        "rules": [
            {"code": r.code, "name": r.name, "title": r.title, "causes": list(r.causes), "remedies": list(r.remedies)}
            for r in rules
            if r.code in named
        ],
    }
    return strict_json.dumps(value, indent=2) + "\n"
