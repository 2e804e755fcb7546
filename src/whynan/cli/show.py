"""Show a recorded case again: a case folder, or a report.json alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

NAME = "show"
HELP = "show a recorded case again"


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """CASE and how to print it."""
    parser.add_argument("case", metavar="CASE", help="a case folder or a report.json")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the report as JSON on stdout")
    form.add_argument("--html", action="store_true", help="print the page on stdout")
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto", help="colours (default auto)")


def run(options: argparse.Namespace) -> int:
    """Print the case on stdout. Status 0: showing a failure is no failure."""
    from ..case.folder import PAGE, dump_report, read_case

    case = read_case(options.case)
    if options.json:
        sys.stdout.write(dump_report(case.report))
        return 0
    if options.html:
        from ..report.page import page

        sys.stdout.write(page(case.report, sources=case.sources))
        return 0
    from ..report.terminal import make_console, render
    from ..report.words import headline, run_line

    if case.report.verdict == "healthy":
        print(f"{headline(case.report)}: {run_line(case.report)}.")
        return 0
    page_file = case.path / PAGE if case.path else None
    render(
        case.report,
        make_console(options.color, sys.stdout),
        case=Path(options.case),
        next_command=_next(page_file, options.case),
        sources=case.sources,
    )
    return 0


def _next(page_file: Path | None, case: str) -> str:
    import shlex

    if page_file and page_file.is_file():
        return f"open {shlex.quote(str(page_file))} in a browser"
    return f"whynan show --html {shlex.quote(case)} > report.html"
