"""A report as a dictionary and back; what is wrong is said with the path of the field."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from case.strategies import REPORTS
from messages.reports import ALL, complete
from whynan.case import schema, serial, strict_json
from whynan.case.facts import Report, Run
from whynan.errors import CaseError


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(REPORTS)
def test_any_report_comes_back(report: Report) -> None:
    text = strict_json.dumps(serial.to_dict(report))
    again = serial.from_dict(strict_json.loads(text))
    assert strict_json.dumps(serial.to_dict(again)) == text  # not ==: a NaN is not equal to itself
    assert repr(again) == repr(report)


@pytest.mark.parametrize("name", ALL)
def test_synthetic_reports_come_back(name: str) -> None:
    report = ALL[name]()
    assert repr(serial.from_dict(strict_json.loads(strict_json.dumps(serial.to_dict(report))))) == repr(report)


def test_class_is_spelled_class() -> None:
    data = serial.to_dict(complete())
    assert data["causes"][0]["class"] == "division-by-zero" and "class_" not in data["causes"][0]
    assert next(iter(data)) == "schema"


def test_words_become_numbers_only_where_a_number_belongs() -> None:
    data = serial.to_dict(complete())
    data["birth"]["inputs"][0]["max"] = "inf"
    report = serial.from_dict(json.loads(strict_json.dumps(data)))
    assert report.birth is not None and report.birth.inputs[0].max == math.inf
    assert report.symptom is not None and report.symptom.value == "nan"
    assert math.isnan(report.history["loss"][-1])


def broken(path: str, value: Any) -> dict[str, Any]:
    data = strict_json.loads(strict_json.dumps(serial.to_dict(complete())))
    place = data
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in parents:
        place = place[key]
    place[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", "whynan.report/9", '"schema" is \'whynan.report/9\', not "whynan.report/1"'),
        ("verdict", "fine", "verdict is 'fine'. Valid values are healthy, nonfinite, suspect."),
        ("causes.0.level", "sure", "causes[0].level is 'sure'. Valid values are proved, supported, guess."),
        ("causes.0.score", "high", 'causes[0].score has to be a number, "nan", "inf" or "-inf", and is \'high\'.'),
        ("birth.inputs.1.shape", 4, "birth.inputs[1].shape has to be a list and is 4."),
        ("birth.line", 1.5, "birth.line has to be a whole number and is 1.5."),
        ("birth.step", True, "birth.step has to be a whole number and is True."),
        ("remedies.0.verified", 1, "remedies[0].verified has to be true or false and is 1."),
        ("run", None, "run has to be an object and is None."),
        ("notes", [3], "notes[0] has to be a string and is 3."),
        ("history", [], "history has to be an object and is []."),
    ],
)
def test_a_wrong_field_is_named(path: str, value: Any, message: str) -> None:
    with pytest.raises(CaseError) as caught:
        serial.from_dict(broken(path, value))
    assert message in str(caught.value)


def test_a_missing_field_is_named() -> None:
    data = serial.to_dict(complete())
    del data["symptom"]["step"]
    with pytest.raises(CaseError, match=r"^symptom\.step is missing\.$"):
        serial.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "report", {}])
def test_what_is_no_report_is_refused(data: Any) -> None:
    with pytest.raises(CaseError, match="This is no report"):
        serial.from_dict(data)


def test_unknown_keys_are_left_out_with_a_note() -> None:
    data = serial.to_dict(Report(verdict="healthy", run=Run(script="train.py")))
    data |= {"mood": "good"}
    data["run"] |= {"gpu_hours": 3}
    report = serial.from_dict(data)
    assert report.notes == (f"{serial.IGNORED}mood, run.gpu_hours.",)


def test_optional_fields_may_be_absent() -> None:
    data = {"schema": "whynan.report/1", "verdict": "healthy", "run": {"script": "train.py"}}
    assert serial.from_dict(data) == Report(verdict="healthy", run=Run(script="train.py"))


def test_the_schema_file_is_current() -> None:
    from importlib import resources

    kept = (resources.files("whynan.case") / "schema.json").read_text(encoding="utf-8")
    assert kept == schema.text(), "write it again: make docs"


def test_the_schema_covers_every_key() -> None:
    keys = set(serial.to_dict(complete()))
    assert keys == set(schema.schema()["properties"])
