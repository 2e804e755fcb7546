"""Show a recorded case again: a case folder, the beginning of its name, `last`, or a report.json alone."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from .cases import add_folder_option, folder_of

NAME = "show"
HELP = "show a recorded case again"


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """CASE and how to print it."""
    parser.add_argument(
        "case", metavar="CASE", help="a case folder, the beginning of its name, `last`, or a report.json"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the report as JSON on stdout")
    form.add_argument("--html", action="store_true", help="print the page on stdout")
    form.add_argument("--format", choices=["github", "sarif", "text"], help="print it for a CI service")
    form.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto", help="colours (default auto)")
    add_folder_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print the case on stdout. Status 0: showing a failure is no failure."""
    from ..case import shelf
    from ..case.contents import absent_from
    from ..case.folder import PAGE, dump_report

    place = shelf.find(options.case, folder_of(options))
    case = shelf.read_case(place)
    page_file = case.path / PAGE if case.path and (case.path / PAGE).is_file() else None
    if options.json:
        sys.stdout.write(dump_report(case.report))
        return 0
    if options.format:
        from ..report.formats import findings_of, rules_of, write

        print(write(findings_of(case.report), options.format, rules_of(case.report)).rstrip("\n"))
        return 0
    if options.open and page_file is not None:
        import webbrowser

        webbrowser.open(page_file.absolute().as_uri())
        print(page_file)
        return 0
    if options.html or options.open:
        from ..report.page import page

        sys.stdout.write(page(case.report, sources=case.sources))
        return 0
    from ..report.terminal import make_console, render
    from ..report.words import headline, run_line

    if case.report.verdict == "healthy":
        print(f"{headline(case.report)}: {run_line(case.report)}.")
        return 0
    render(
        case.report,
        make_console(options.color, sys.stdout),
        case=place,
        next_command=_next(page_file, place),
        sources=case.sources,
    )
    for what in absent_from(case.path) if case.path else ():
        print(f"left out of the case: {what}")
    return 0


def _next(page_file: Path | None, case: Path) -> str:
    if page_file is not None:
        return f"open {shlex.quote(str(page_file))} in a browser"
    return f"whynan show --html {shlex.quote(str(case))} > report.html"
