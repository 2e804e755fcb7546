"""Compare two runs: at which step their histories part, bit for bit and beyond rounding, and what else differs.

A and B are cases, or files that `whynan run --json FILE` wrote; runs that stayed healthy have a history there too.
"""

from __future__ import annotations

import argparse
from typing import Any

from .cases import add_folder_option, folder_of, table

NAME = "diff"
HELP = "compare the histories of two runs"


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """A, B and the form of the answer."""
    parser.add_argument("a", metavar="A", help="a case or a report.json")
    parser.add_argument("b", metavar="B", help="a case or a report.json")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    add_folder_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print where they part on stdout. Status 0: a difference is an answer, no failure."""
    from ..case import shelf, strict_json
    from ..case.comparison import differences, partings
    from ..case.serial import plain

    base = folder_of(options)
    a, b = shelf.open_case(options.a, base), shelf.open_case(options.b, base)
    series, facts = partings(*_histories(a, b)), differences(a.report, b.report)
    if options.json:
        print(strict_json.dumps({"series": plain(tuple(series)), "differences": plain(tuple(facts))}, indent=1))
        return 0
    print(_headline(series))
    if series:
        rows = [_row(parting) for parting in series]
        print("\n" + "\n".join(table(("SERIES", "STEPS", "FIRST OTHER BITS", "BEYOND ROUNDING"), rows, 1 << 16)))
    if facts:
        print("\nWhat differs")
        rows = [(fact.what, fact.a, fact.b) for fact in facts]
        print("\n".join("  " + line for line in table(("", "A", "B"), rows, 1 << 16)))
    else:
        print("\nScript, versions, settings and findings are the same.")
    return 0


def _histories(a: Any, b: Any) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The long histories where both cases have one, else those of the reports, which share their form."""
    from ..case.contents import full_history

    long = [full_history(case.path) if case.path else None for case in (a, b)]
    if long[0] is not None and long[1] is not None:
        return long[0], long[1]
    return a.report.history, b.report.history


def _headline(series: list[Any]) -> str:
    if not series:
        return "The two have no series in common: nothing to compare step by step."
    first = series[0]
    if first.bits is None:
        return f"The histories are the same, bit for bit, in all {len(series)} series."
    far = [parting for parting in series if parting.far is not None]
    start = f"They part at step {first.bits[0]}: {first.name} is {_pair(first.bits)}"
    if not far:
        return f"{start}, and stay within rounding."
    earliest = min(far, key=lambda parting: parting.far[0])
    if earliest.far[0] == first.bits[0]:
        return f"{start}, beyond rounding."
    return f"{start}; beyond rounding from step {earliest.far[0]}: {earliest.name} is {_pair(earliest.far)}."


def _row(parting: Any) -> tuple[str, ...]:
    return (parting.name, str(parting.shared), _cell(parting.bits), _cell(parting.far))


def _cell(found: tuple[int, float, float] | None) -> str:
    return f"step {found[0]}: {_pair(found)}" if found else "none"


def _pair(found: tuple[int, float, float]) -> str:
    return f"{found[1]:.9g} and {found[2]:.9g}"
