"""Findings as SARIF 2.1.0 (OASIS), which code scanning services and editors read.

Columns are 1-based and count UTF-16 units by default in SARIF; `columnKind` says that ours count code points.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from ... import __version__
from ...case import strict_json
from ...case.findings import Finding, RuleFacts

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def write(findings: Sequence[Finding], rules: Sequence[RuleFacts] = ()) -> str:
    """One run of one tool, with all its rules and one result a finding."""
    order = {rule.code: at for at, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    driver = {"name": "whynan", "version": __version__, "rules": [_rule(rule) for rule in rules]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, order, seen) for finding in findings],
    }
    return strict_json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(rule: RuleFacts) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.page or rule.title},
        "properties": {"tags": ["numerics", *rule.causes]},
    }


def _result(finding: Finding, order: dict[str, int], seen: Counter[str]) -> dict[str, Any]:
    region: dict[str, Any] = {
        "startLine": finding.line,
        "startColumn": finding.column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
    }
    if finding.source is not None:
        region["snippet"] = {"text": finding.source}
    uri = quote(finding.file.replace("\\", "/"))
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "level": finding.severity,
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}],
        "partialFingerprints": {"whynan/v1": _fingerprint(finding, seen)},
    }
    if finding.code in order:
        result["ruleIndex"] = order[finding.code]
    return result


def _fingerprint(finding: Finding, seen: Counter[str]) -> str:
    """Stays the same when lines move: file, rule, the text of the line, and which of its kind it is."""
    key = f"{finding.file}\0{finding.code}\0{(finding.source or '').strip()}"
    seen[key] += 1
    return hashlib.sha256(f"{key}\0{seen[key]}".encode()).hexdigest()[:32]
