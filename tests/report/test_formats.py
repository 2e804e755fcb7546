"""Findings written as text, JSON, GitHub commands and SARIF; reports told as findings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from whynan.case.facts import Birth, Cause, Remedy, Report, Run, Symptom, Trial
from whynan.case.findings import Finding, RuleFacts
from whynan.errors import UsageError
from whynan.report.formats import FORMATS, findings_of, rules_of, write

LINE = "    return torch.log(p)"
FINDING = Finding(
    file="src/train one.py",
    line=7,
    column=12,
    end_line=7,
    end_column=24,
    code="WN102",
    name="log-of-softmax",
    message="100% of it:\nunderflows.",
    source=LINE,
)
RULES = [
    RuleFacts(code="WN101", name="log-at-zero", title="Logarithm"),
    RuleFacts(code="WN102", name="log-of-softmax", title="Log of softmax", causes=("log-of-zero",)),
]


def test_text_puts_carets_under_the_expression() -> None:
    lines = write([FINDING], "text").splitlines()
    assert lines[0] == "src/train one.py:7:12: WN102 log-of-softmax"
    at = lines[-2].index("torch.log(p)")
    assert lines[-1][at:] == "^" * len("torch.log(p)") and not lines[-1][:at].strip(" |")


def test_text_with_tabs_and_control_characters() -> None:
    finding = Finding(**{**vars(FINDING), "source": "\treturn \x1b[31mx", "column": 9, "end_column": 15})
    lines = write([finding], "text").splitlines()
    assert "\x1b" not in "".join(lines)
    assert lines[-1].index("^") == lines[-2].index("\\x1b")


def test_json() -> None:
    data = json.loads(write([FINDING], "json", RULES))
    assert data["schema"] == "whynan.findings/1"
    assert data["findings"][0]["line"] == 7 and data["findings"][0]["code"] == "WN102"
    assert [rule["code"] for rule in data["rules"]] == ["WN102"]


def test_github_escapes_properties_and_message() -> None:
    text = write([Finding(**{**vars(FINDING), "file": "a,b:c.py"})], "github")
    assert text == (
        "::warning file=a%2Cb%3Ac.py,line=7,col=12,endLine=7,endColumn=24,title=WN102 log-of-softmax"
        "::100%25 of it:%0Aunderflows.\n"
    )


def sarif(findings: list[Finding], rules: list[RuleFacts]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(write(findings, "sarif", rules))
    return result


def test_sarif_has_what_the_standard_requires() -> None:
    log = sarif([FINDING, FINDING], RULES)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "whynan"
    assert [rule["id"] for rule in driver["rules"]] == ["WN101", "WN102"]
    assert all(rule["shortDescription"]["text"] and rule["fullDescription"]["text"] for rule in driver["rules"])
    first, second = run["results"]
    assert driver["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "WN102"
    assert first["level"] in ("none", "note", "warning", "error") and first["message"]["text"]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "src/train%20one.py"
    region = place["region"]
    assert region["snippet"]["text"] == LINE
    assert all(region[key] >= 1 for key in ("startLine", "startColumn", "endLine", "endColumn"))
    assert first["partialFingerprints"] != second["partialFingerprints"]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")


def test_sarif_without_findings_says_so() -> None:
    assert sarif([], [])["runs"][0]["results"] == []


def test_fingerprints_do_not_depend_on_the_line() -> None:
    moved = Finding(**{**vars(FINDING), "line": 9, "end_line": 9})
    prints = [sarif([f], RULES)["runs"][0]["results"][0]["partialFingerprints"] for f in (FINDING, moved)]
    assert prints[0] == prints[1]


def test_unknown_format() -> None:
    with pytest.raises(UsageError, match="'xml' is no output format. Valid formats are: text, json, github, sarif"):
        write([], "xml")


def report(**more: Any) -> Report:
    return Report(
        verdict="nonfinite",
        run=Run(script="train.py"),
        symptom=Symptom(step=3, iteration=3, what="loss", value="nan"),
        birth=Birth(
            step=3, iteration=3, phase="forward", kind="inf", op="aten::log", file="train.py", line=7,
            end_line=7, column=11, end_column=23, source=LINE,
        ),
        causes=(Cause(class_="log-of-zero", level="proved", score=1.0, summary="It is 0."),),
        **more,
    )  # fmt: skip


def test_a_report_as_findings() -> None:
    trial = Trial(how="rerun", steps=9, finite=True)
    cure = Remedy(class_="clamp", title="clamp p", patch="...", verified=True, trial=trial)
    (finding,) = findings_of(report(remedies=(cure,)))
    assert (finding.file, finding.line, finding.column, finding.end_column) == ("train.py", 7, 12, 24)
    assert finding.severity == "error" and finding.fixable
    assert "aten::log" in finding.message and "log-of-zero" in finding.message and "clamp p" in finding.message
    for name in FORMATS:
        assert "log-of-zero" in write([finding], name, rules_of(report()))


def test_a_healthy_report_has_none() -> None:
    assert findings_of(Report(verdict="healthy", run=Run(script="train.py"))) == []


def test_a_report_without_a_column() -> None:
    birth = Birth(step=1, iteration=1, phase="data", kind="nan", op=None, file="t.py", line=3, source="x = y")
    (finding,) = findings_of(Report(verdict="nonfinite", run=Run(script="t.py"), birth=birth))
    assert (finding.column, finding.end_column) == (1, 6)
