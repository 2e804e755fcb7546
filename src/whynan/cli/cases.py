"""List the recorded cases, newest first: when, script, line of the birth, cause, a cure that was verified, size."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "cases"
HELP = "list the recorded cases"


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Where the cases are, and the form of the list."""
    add_folder_option(parser)
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def add_folder_option(parser: argparse.ArgumentParser) -> None:
    """--cases-dir, for every command that takes a CASE."""
    parser.add_argument("--cases-dir", metavar="DIR", help="folder of the cases (default whynan-cases)")


def folder_of(options: argparse.Namespace) -> Path:
    """The folder of the cases: the option, else the setting."""
    from .. import config

    given = getattr(options, "cases_dir", None)
    return Path(given if given else config.load({}).cases_dir)


def run(options: argparse.Namespace) -> int:
    """Print the list on stdout. Status 0, also for none."""
    from ..case import shelf, strict_json

    base = folder_of(options)
    found = shelf.entries(base)
    if options.json:
        print(strict_json.dumps([_plain(entry) for entry in found], indent=1))
        return 0
    if not found:
        print(f"whynan: no case in {base}", file=sys.stderr)
        return 0
    rows = [_row(entry) for entry in found]
    for line in table(("TIME", "CASE", "LINE", "CAUSE", "CURE", "SIZE"), rows, shutil.get_terminal_size().columns):
        print(line)
    return 0


def _row(entry: Any) -> tuple[str, ...]:
    if entry.problem is not None:
        return (_time(entry), entry.path.name, "cannot be read", "", "", "")
    size = f"{entry.size / 1024:.0f} KiB" if entry.size < 1 << 20 else f"{entry.size / (1 << 20):.1f} MiB"
    return (_time(entry), entry.path.name, entry.place or "-", entry.cause or "-", entry.cure or "-", size)


def _time(entry: Any) -> str:
    return f"{entry.time:%Y-%m-%d %H:%M}" if entry.time else "-"


def _plain(entry: Any) -> dict[str, Any]:
    return {
        "case": str(entry.path),
        "time": entry.time.isoformat() if entry.time else None,
        "script": entry.report.run.script if entry.report else None,
        "line": entry.place,
        "cause": entry.cause,
        "verified_cure": entry.cure,
        "bytes": entry.size,
        "problem": entry.problem,
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lines of a table in columns. Where it is wider than `width` the longest column that is no name is cut."""
    columns = [max(len(cell) for cell in column) for column in zip(head, *rows)]
    spare = sum(columns) + 2 * (len(columns) - 1) - width
    for i in (2, 4, 3):
        if spare > 0 and i < len(columns):
            cut = min(spare, max(columns[i] - 12, 0))
            columns[i], spare = columns[i] - cut, spare - cut
    lines = []
    for row in (head, *rows):
        cells = [_cut(cell, size) for cell, size in zip(row, columns)]
        lines.append("  ".join(cell.ljust(size) for cell, size in zip(cells, columns)).rstrip())
    return lines


def _cut(text: str, size: int) -> str:
    """The end of a path tells more than its beginning."""
    return text if len(text) <= size else "..." + text[len(text) - size + 3 :]
