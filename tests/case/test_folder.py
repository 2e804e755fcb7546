"""The case folder: whole or not at all, never overwritten, readable elsewhere."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from messages.reports import complete
from whynan.case.facts import Report, Run
from whynan.case.folder import dump_report, load_report, read_case, source_name, write_case
from whynan.case.shelf import folders
from whynan.errors import CaseError


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.chdir(home)
    (home / "train.py").write_text("import torch\n", encoding="utf-8")
    return home / "train.py"


def test_a_case_comes_back(script: Path, tmp_path: Path) -> None:
    folder = write_case(complete(), tmp_path / "cases", page="<html>")
    assert folder.parent == tmp_path / "cases" and folder.name.endswith("-train")
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "source"]
    assert (folder / "source" / "train.py").read_text(encoding="utf-8") == "import torch\n"
    case = read_case(folder)
    assert repr(case.report) == repr(complete())
    assert case.path == folder and case.sources == folder / "source"


def test_report_json_alone_is_a_case(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(dump_report(complete()), encoding="utf-8")
    case = read_case(file)
    assert case.report.verdict == "nonfinite" and case.path is None and case.sources is None


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "20260822-141503")
    names = [write_case(complete(), tmp_path, "my case/1").name for _ in range(3)]
    assert names == ["20260822-141503-my-case-1", "20260822-141503-my-case-1-2", "20260822-141503-my-case-1-3"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "batch").write_text("x", encoding="utf-8")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_case(complete(), tmp_path, fill=fill)
    assert list(tmp_path.iterdir()) == []


def test_drafts_of_the_dead_are_swept_up(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead, own = tmp_path / f".draft-{child.pid}-1", tmp_path / f".draft-{os.getpid()}-1"
    for folder in (dead, own):
        folder.mkdir()
        (folder / "report.json").touch()
    write_case(complete(), tmp_path)
    assert not dead.exists() and own.exists()


def test_a_kill_in_the_middle_leaves_no_case(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from messages.reports import complete\n"
        "from whynan.case.folder import write_case\n"
        "def fill(folder):\n"
        "    (folder / 'half').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_case(complete(), sys.argv[1], fill=fill)\n"
    )
    paths = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == -9
    assert folders(tmp_path) == [] and all(path.name.startswith(".") for path in tmp_path.iterdir())
    case = write_case(complete(), tmp_path)
    assert list(tmp_path.iterdir()) == [case]


def test_fill_puts_files_beside_the_report(tmp_path: Path) -> None:
    folder = write_case(complete(), tmp_path, fill=lambda folder: (folder / "fix.patch").touch())
    assert (folder / "fix.patch").is_file()


def test_the_users_files_only(script: Path, tmp_path: Path) -> None:
    (script.parent / "lib").mkdir()
    (script.parent / "lib" / "model.py").write_text("x = 1\n", encoding="utf-8")
    birth = complete().birth
    assert birth is not None
    for file, copied in (
        ("lib/model.py", ["lib/model.py", "train.py"]),
        (str(script.parent / "lib" / "model.py"), ["lib/model.py", "train.py"]),
        (pytest.__file__, ["train.py"]),  # an installed package
        ("gone.py", ["train.py"]),
    ):
        report = dataclasses.replace(complete(), birth=dataclasses.replace(birth, file=file))
        source = write_case(report, tmp_path / "cases") / "source"
        assert sorted(str(path.relative_to(source)) for path in source.rglob("*.py")) == copied


def test_no_path_leaves_the_folder(tmp_path: Path) -> None:
    assert source_name(tmp_path / "elsewhere" / "x.py", tmp_path / "project") == Path("x.py")


def test_a_module_run_has_a_name(tmp_path: Path) -> None:
    folder = write_case(Report(verdict="nonfinite", run=Run(script="")), tmp_path)
    assert folder.name.endswith("-run")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "report.json: This is no report: it has to be a JSON object"),
        ('{"schema": "whynan.report/1", "run": {}}', "report.json: verdict is missing."),
        ("\xff", "is no report: it is not text"),
    ],
)
def test_a_broken_report_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "report.json").write_text(text, encoding="latin-1")
    with pytest.raises(CaseError) as caught:
        read_case(tmp_path)
    assert message in str(caught.value)


def test_no_case_at_all(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"A case is a folder with a report\.json\."):
        read_case(tmp_path / "nothing")


def test_text_round_trip() -> None:
    assert repr(load_report(dump_report(complete()))) == repr(complete())
