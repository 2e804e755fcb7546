"""Saying it: a report on the terminal and as a page. Reads the case, never torch.

    show_where(report)                 on stderr, as soon as the place is known; a healthy report prints nothing
    show_why(report, case=folder)      on stderr, when cause and cure are known
    annotate(report, "github")         for CI services
    save(report, base_dir, name)       a case folder, with its page

rich and jinja2 are imported when something is to be said, not before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from ..case.facts import Report


def show_where(report: Report, *, color: str = "auto") -> None:
    """Print on stderr where the value was born, as soon as that is known."""
    from .terminal import make_console, render_where

    render_where(report, make_console(color))


def show_why(
    report: Report, *, case: Path | None = None, color: str = "auto", next_command: str | None = None
) -> None:
    """Print on stderr the cause and the cure. `case` is its folder, `next_command` what the last line tells to type."""
    from .terminal import make_console, render_why

    render_why(report, make_console(color), case=_relative(case) if case else None, next_command=next_command)


def save(
    report: Report,
    base_dir: str | os.PathLike[str],
    name: str | None = None,
    *,
    fill: Callable[[Path], None] | None = None,
) -> Path:
    """Write a case folder with report.json, report.html and the user's sources; see `case.folder.write_case`."""
    from ..case.folder import write_case
    from .page import page

    return write_case(report, base_dir, name, page=page(report), fill=fill)


SARIF = "whynan.sarif"


def annotate(report: Report, form: str) -> None:
    """Say the finding in the form that a CI service reads: GitHub's on stderr, SARIF in a file here.

    A healthy report is a SARIF file without results, since the service expects one.
    """
    from .formats import findings_of, rules_of, write

    text = write(findings_of(report), form, rules_of(report)) if form != "text" else ""
    if form == "sarif":
        Path(SARIF).write_text(text, encoding="utf-8")
    elif text:
        sys.stderr.write(text if text.endswith("\n") else f"{text}\n")


def _relative(path: Path) -> Path:
    """The path as a user would type it from here."""
    try:
        return path.absolute().relative_to(Path.cwd())
    except (ValueError, OSError):
        return path
