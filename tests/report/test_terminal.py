"""Printing on the terminal: colours, silence, and text that tries to be markup. The words are in tests/messages."""

from __future__ import annotations

import io
import re

import pytest

from messages.reports import ALL, awkward, complete
from whynan.case.facts import Report, Run
from whynan.report.terminal import make_console, render

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def printed(report: Report, color: str = "auto", **options) -> str:
    file = io.StringIO()
    render(report, make_console(color, file), **options)
    return file.getvalue()


def test_a_healthy_run_prints_nothing() -> None:
    assert printed(Report(verdict="healthy", run=Run(script="train.py")), case="x") == ""


@pytest.mark.parametrize("name", ALL)
def test_colours_only_where_wanted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    plain = printed(ALL[name](), "auto")
    coloured = printed(ALL[name](), "always")
    assert "\x1b" not in plain and "\x1b[" in coloured
    assert ESCAPE.sub("", coloured) == plain
    assert all(line == line.rstrip() for line in plain.splitlines())


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", printed(complete(), "always"))
    monkeypatch.delenv("NO_COLOR")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", printed(complete(), "never"))


def test_the_users_text_is_data() -> None:
    text = printed(awkward())
    assert "[b]finite[/b]" in text and "exp_avg_sq of [layer]" in text
    assert "\x1b" not in text and "\\x1b[31m" in text


def test_commands_are_not_wrapped() -> None:
    case = "whynan-cases/" + "long-name-" * 20
    lines = printed(complete(), case=case).splitlines()
    assert lines[-2:] == [f"case {case}", f"next whynan show {case}"]
    assert printed(complete(), case="a b").splitlines()[-1] == "next whynan show 'a b'"
    assert printed(complete(), case="a", next_command="do this").splitlines()[-1] == "next do this"
