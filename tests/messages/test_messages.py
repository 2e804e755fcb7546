"""The printed text of three reports, kept line by line.

After a change on purpose: WHYNAN_INTERNAL_SNAPSHOTS=write make test ARGS=tests/messages
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from messages.reports import ALL
from whynan.report.terminal import make_console, render, render_where, render_why

HERE = Path(__file__).parent / "snapshots"
CASE = "whynan-cases/20260822-141503-train"


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", ALL)
def test_printed_text(name: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no file of the same name is there
    file = io.StringIO()
    render(ALL[name](), Console(file=file, width=width, highlight=False), case=CASE)
    check(file.getvalue(), f"{name}-{width}.txt")


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", ALL)
def test_what_a_run_prints(name: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = brief(name, Console(file=(file := io.StringIO()), width=width, highlight=False), file)
    check(text, f"{name}-{width}-run.txt")


@pytest.mark.parametrize(("width", "lines"), [(80, 48), (160, 42)])
def test_it_fits_on_one_screen(width: int, lines: int) -> None:
    text = brief("complete", Console(file=(file := io.StringIO()), width=width, highlight=False), file)
    assert len(text.splitlines()) <= lines
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("color", "environment", "coloured"),
    [
        ("auto", {}, False),  # a log: no terminal
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ("always", {}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_never_changes_the_words(
    color: str, environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in {"TERM": "xterm-256color", "COLUMNS": "100", **environment}.items():
        monkeypatch.setenv(variable, value)
    text = brief("complete", make_console(color, file := io.StringIO()), file)
    assert ("\x1b[3" in text) is coloured  # a colour; bold may stay
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    log = Console(file=(file := io.StringIO()), width=100, highlight=False, force_terminal=False)
    assert plain == brief("complete", log, file)


def brief(name: str, console: Console, file: io.StringIO) -> str:
    report = ALL[name]()
    render_where(report, console)
    render_why(report, console, case=CASE)
    return file.getvalue()


def check(text: str, name: str) -> None:
    kept = HERE / name
    if os.environ.get("WHYNAN_INTERNAL_SNAPSHOTS") == "write":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(text, encoding="utf-8")
    assert text.splitlines() == kept.read_text(encoding="utf-8").splitlines()
