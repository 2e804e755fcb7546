"""show, explain, demo, doctor, and how errors end."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from messages.reports import complete
from whynan.case.facts import Report, Run
from whynan.case.folder import dump_report
from whynan.cli import demo
from whynan.cli.main import main
from whynan.report import save


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save(complete(), tmp_path / "cases")


def test_show(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(case)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("whynan: NaN born at step 33") and "report.html in a browser" in printed.out


def test_show_json_is_the_report(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--json", str(case / "report.json")]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(dump_report(complete()))


def test_show_html_is_the_page(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--html", str(case)]) == 0
    assert capsys.readouterr().out.rstrip() == (case / "report.html").read_text(encoding="utf-8").rstrip()


def test_show_a_healthy_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.json"
    file.write_text(
        dump_report(Report(verdict="healthy", run=Run(script="t.py", steps=5, seconds=1))), encoding="utf-8"
    )
    assert main(["show", str(file)]) == 0
    assert capsys.readouterr().out == "Nothing non-finite was found: t.py, 5 steps in 1.0 s.\n"


def test_show_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path)]) == 2
    assert "A case is a folder with a report.json." in capsys.readouterr().err


def test_explain_without_pages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("whynan.cli.explain._CATALOGUE", "whynan.diagnose.no_catalogue")
    assert main(["explain", "log-of-zero"]) == 2
    assert capsys.readouterr().err == "whynan: This version of whynan has no pages of causes yet.\n"


def test_explain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def page(name: str) -> str:
        if name != "log-of-zero":
            raise KeyError(f"{name!r} is no cause. Causes are: log-of-zero.")
        return "# log-of-zero\n\nWhat happens\n"

    fake = types.ModuleType("whynan_pages")
    fake.page = page  # type: ignore[attr-defined]
    fake.all_causes = dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "whynan_pages", fake)
    monkeypatch.setattr("whynan.cli.explain._CATALOGUE", "whynan_pages")
    assert main(["explain", "log-of-zero"]) == 0
    assert capsys.readouterr().out == "# log-of-zero\n\nWhat happens\n"
    assert main(["explain", "bad-luck"]) == 2
    assert capsys.readouterr().err == "whynan: 'bad-luck' is no cause. Causes are: log-of-zero.\n"


def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        "whynan.cli.doctor._checks", lambda: lambda: [("hooks", True, ""), ("sequence numbers", False, "gone")]
    )
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "whynan 0." in text and "torch" in text
    assert "  ok   hooks\n  FAIL sequence numbers: gone\n1 of 2 checks failed" in text


def test_demo_puts_the_example_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("whynan.cli.run.run", lambda options: ran.append(options.rest) or 3)
    assert main(["demo"]) == 3
    assert ran == [["whynan-demo/train.py"]]
    assert Path("whynan-demo/train.py").read_text(encoding="utf-8") == demo.example()
    Path("whynan-demo/train.py").write_text("patched", encoding="utf-8")
    main(["demo"])
    assert Path("whynan-demo/train.py").read_text(encoding="utf-8") == "patched"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("whynan 0.")
