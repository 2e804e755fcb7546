"""The cases in a folder: order, what a list shows, and which one a few letters mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from messages.reports import complete
from whynan.case.contents import absent_from, full_history, readme
from whynan.case.folder import dump_report
from whynan.case.shelf import entries, find, open_case
from whynan.errors import CaseError


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "whynan-cases"
    names = "20260822-141503-train 20260822-141503-train-2 20260822-141503-train-10 20260901-080000-eval .draft-1-2"
    for name in names.split():
        (base / name).mkdir(parents=True)
        (base / name / "report.json").write_text(dump_report(complete()), encoding="utf-8")
    (base / "notes.txt").touch()
    (base / "20260101-000000-empty").mkdir()
    return base


def test_newest_first(shelf: Path) -> None:
    assert [entry.path.name[16:] for entry in entries(shelf)] == ["eval", "train-10", "train-2", "train"]


def test_what_a_list_shows(shelf: Path) -> None:
    entry, report = entries(shelf)[0], complete()
    assert report.birth is not None
    assert entry.place == f"{report.birth.file}:{report.birth.line}"
    assert entry.cause == report.causes[0].class_
    assert entry.cure == next(r.class_ for r in report.remedies if r.verified)
    assert entry.time is not None and entry.time.month == 9
    assert entry.size == len(dump_report(complete()).encode())


def test_a_broken_case_is_listed_with_its_problem(shelf: Path) -> None:
    (shelf / "20260901-080000-eval" / "report.json").write_text("{", encoding="utf-8")
    first = entries(shelf)[0]
    assert first.report is None and first.problem is not None and "no JSON" in first.problem
    assert first.place is first.cause is first.cure is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("last", "20260901-080000-eval"),
        ("eval", "20260901-080000-eval"),
        ("ev", "20260901-080000-eval"),
        ("20260901", "20260901-080000-eval"),
        ("train-10", "20260822-141503-train-10"),
        ("whynan-cases/20260822-141503-train", "20260822-141503-train"),
        ("whynan-cases/20260822-141503-train/report.json", "20260822-141503-train"),
    ],
)
def test_what_is_meant(shelf: Path, text: str, name: str) -> None:
    case = open_case(text, shelf)
    assert case.path is not None and case.path.name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train", "could be 3 cases"),
        ("nothing", "There is no case 'nothing'. A case is a folder with a report.json, or `last`."),
        ("../whynan-cases/train", "There is no case"),
    ],
)
def test_what_is_not(shelf: Path, text: str, message: str) -> None:
    with pytest.raises(CaseError) as caught:
        find(text, shelf)
    assert message in str(caught.value)


def test_no_cases_at_all(tmp_path: Path) -> None:
    assert entries(tmp_path / "nothing") == []
    with pytest.raises(CaseError, match="There is no case in"):
        find("last", tmp_path)


def test_the_readme_says_what_is_missing() -> None:
    text = readme("train", ["the state: 300.0 MiB"])
    assert "Left out: the state: 300.0 MiB\n" in text and len(text.splitlines()) <= 16


def test_damaged_extras_are_no_reason_to_fail(tmp_path: Path) -> None:
    for content in ("{", "[1, 2]", '{"schema": "whynan.history/9"}', '"x"'):
        (tmp_path / "absent.json").write_text(content, encoding="utf-8")
        (tmp_path / "history.json").write_text(content, encoding="utf-8")
        assert absent_from(tmp_path) == [] and full_history(tmp_path) is None
    history = '{"schema": "whynan.history/1", "series": {"loss": [1.0, "nan", null]}}'
    (tmp_path / "history.json").write_text(history, encoding="utf-8")
    assert repr(full_history(tmp_path)) == "{'loss': [1.0, nan, None]}"
