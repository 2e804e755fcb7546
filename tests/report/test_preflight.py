"""What `whynan check` found: terminal, page, formats, JSON against the documented fields."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from whynan.case import preflight as facts
from whynan.case import serial, strict_json
from whynan.case.preflight import Column, Edge, Headroom, Layer, Preflight, Problem
from whynan.report import preflight
from whynan.report.formats import write
from whynan.report.formats.from_preflight import findings_of, rules_of
from whynan.report.preflight_page import page

NAN = Problem(
    part="data", kind="nan-in-column", severity="error", where="x, column 3", message="values are missing",
    measured="2 of 100 values", samples=(7, 9), causes=("bad-input",), remedy="x = x[keep]\n# or\ny = 1",
)  # fmt: skip
STEP = Problem(
    part="step", kind="batch-fails", severity="error", where="train.py:9", message="the loss becomes nan <b>",
    measured="1 of 9 batches", file="train.py", line=9,
)  # fmt: skip
NOTE = Problem(part="source", kind="WN404 logsumexp-by-hand", severity="note", where="train.py:4", message="m",
               measured="s", file="train.py", line=4)  # fmt: skip
ANSWER = Preflight(
    verdict="problems", program="train.py", problems=(NAN, STEP, NOTE), batches=9, samples=72, tried=9,
    columns=(Column(tensor="x", index=3, dtype="float32", count=100, nan=2, min=-1.0, max=float("inf")),),
    layers=(Layer(name="net.0", kind="Linear", activation_std=0.5, gain=1.0),),
    edges=(Edge(op="aten::log", argument="self", edge="0 (log)", nearest=1e-9, distance=1e-9, dtype="float32"),),
    headroom=(Headroom(module="net.0", absmax=1e5, smallest=0.1, float16="overflows"),),
    settings={"SGD 0, group 0": "lr=0.1"}, notes=("the data were looked through in part",),
)  # fmt: skip


def test_the_text_says_everything_in_order() -> None:
    text = preflight.text(ANSWER)
    parts = ["2 errors, 1 note", "One step", "train.py:9", "Data", "x, column 3", "2 of 100 values", "samples 7, 9",
             "x = x[keep]", "Source", "Columns", "Layers", "overflows", "Closest to an edge", "Optimizer", "lr=0.1",
             "Note: the data"]  # fmt: skip
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert str(ANSWER) == text and "\x1b" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    code = {line for problem in ANSWER.problems for line in (problem.remedy or "").splitlines()}
    for line in preflight.text(ANSWER, width).splitlines():
        assert len(line) <= width or line.strip() in code


def test_an_answer_without_problems() -> None:
    ready = Preflight(verdict="ready", program="train.py")
    assert preflight.text(ready).startswith("whynan check: nothing found")
    assert preflight.next_command(ready, "train.py") is None
    assert preflight.next_command(ANSWER, "train.py") == "whynan run train.py"


def test_the_page_escapes_and_loads_nothing() -> None:
    text = page(ANSWER)
    assert "becomes nan &lt;b&gt;" in text and "<b>" not in text and "<script" not in text
    assert "default-src" in text and not re.search(r"(src|href)=\"https?:", text)
    assert text.index("One step") < text.index(">Data<")


def test_findings_for_other_tools() -> None:
    findings = findings_of(ANSWER, "train.py")
    assert [(f.code, f.line, f.severity) for f in findings] == [
        ("check/nan-in-column", 1, "error"), ("check/batch-fails", 9, "error"), ("WN404", 4, "note"),
    ]  # fmt: skip
    assert "x, column 3: values are missing (2 of 100 values). Samples 7, 9." in findings[0].message
    sarif = json.loads(write(findings, "sarif", rules_of(ANSWER)))
    results = sarif["runs"][0]["results"]
    rules = [rule["id"] for rule in sarif["runs"][0]["tool"]["driver"]["rules"]]
    assert [rules[result["ruleIndex"]] for result in results] == [result["ruleId"] for result in results]
    assert write(findings, "github", rules_of(ANSWER)).count("::error file=train.py") == 2


def test_the_json_is_strict_and_as_documented() -> None:
    text = strict_json.dumps(serial.plain(ANSWER))
    value = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert value["schema"] == "whynan.check/1" and value["columns"][0]["max"] == "inf"
    reference = (Path(__file__).parents[2] / "docs" / "reference" / "check.md").read_text()
    for name in ("Preflight", "Problem", "Column", "Layer", "Edge", "Headroom", "OpHeadroom"):
        section = reference.split(f"### {name}\n")[1].split("###")[0]
        documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert documented == [f.name for f in dataclasses.fields(getattr(facts, name))], name


def test_every_kind_of_problem_is_documented() -> None:
    root = Path(__file__).parents[2]
    reference = (root / "docs" / "reference" / "check.md").read_text()
    sources = [*(root / "src/whynan/preflight").glob("*.py"), *(root / "src/whynan/preflight/data").glob("*.py"),
               root / "src/whynan/checking/run.py", root / "src/whynan/checking/source.py"]  # fmt: skip
    text = "\n".join(path.read_text() for path in sources)
    kinds = set(re.findall(r'kind="([a-z-]+)"', text)) | set(re.findall(r'_problem\(\s*(?:record, )?"([a-z-]+)"', text))
    assert len(kinds) > 25 and {kind for kind in kinds if f"`{kind}`" not in reference} == set()
