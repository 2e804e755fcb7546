"""Look at a training script before it runs: its data, its initialization, one of its steps, its settings.

The script runs until its first update and is ended then. Its data are looked through by its own loader.
Exit status: 0 nothing found, 1 problems, 2 usage, or the program never came to a training step.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .program import split_at_program, target_of

NAME = "check"
HELP = "look at data, initialization and one step before a run"
USAGE = "whynan check [OPTIONS] (SCRIPT | -m MODULE) [ARGS]..."

OPTIONS: dict[str, dict[str, Any]] = {
    "--json": {"metavar": "FILE", "help": "write what was found as JSON"},
    "--html": {"metavar": "FILE", "help": "write it as a page"},
    "--seconds": {"metavar": "S", "type": float, "help": "time for looking through the data (default 60)"},
    "--color": {"choices": ["auto", "always", "never"], "help": "colours on stderr (default auto)"},
}


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    for option, keywords in OPTIONS.items():
        parser.add_argument(option, default=argparse.SUPPRESS, **keywords)


def run(options: argparse.Namespace) -> int:
    """Check the target and return the exit status."""
    given = vars(options)
    seconds = given.get("seconds", 60.0)
    if not seconds > 0:
        raise UsageError(f"--seconds is {seconds:g}. It has to be more than 0.")
    kind, name, argv = target_of(options.rest, USAGE)
    from .. import config
    from ..checking import Checking
    from ..session import Target

    settings = config.load({"color": given["color"]} if "color" in given else {})
    checking = Checking(Target(kind, name, argv), settings, seconds=seconds)  # type: ignore[arg-type]
    status = checking.run()
    tell(checking.answer, settings.color, given.get("json"), given.get("html"), checking.folder)
    return status


def tell(answer: Any, color: str, json: str | None, html: str | None, folder: str) -> None:
    """Print the answer on stderr and write the files that were asked for."""
    import sys

    from ..report.preflight import render
    from ..report.terminal import make_console

    if answer is None:
        print("whynan: the program never completed a training step, so there was nothing to check.", file=sys.stderr)
        return
    render(answer, make_console(color))
    if json:
        from ..case import serial, strict_json

        (Path(folder) / json).write_text(strict_json.dumps(serial.plain(answer), indent=1) + "\n", encoding="utf-8")
    if html:
        from ..report.preflight_page import page

        (Path(folder) / html).write_text(page(answer), encoding="utf-8")


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """As `run` does: the first word that is no option belongs to the program."""
    return split_at_program(arguments, OPTIONS)
