"""Look at a training script before it runs: its data, its initialization, one of its steps, its settings.

    whynan check train.py --epochs 3           what may make this run non-finite, and what to do about it
    whynan check --html check.html train.py    the same as a page, with all tables
    whynan check --format github train.py      annotations on stdout, for CI; the script's own output goes to stderr

The script runs until its first update and is ended then. Its data are looked through by its own loader, and every
batch is put through one step by itself, as far as the time reaches.
Exit status: 0 nothing found, 1 problems, 2 usage, or the program never came to a training step.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .program import split_at_program, target_of

if TYPE_CHECKING:
    from ..case.preflight import Preflight

NAME = "check"
HELP = "look at data, initialization and one step before a run"
USAGE = "whynan check [OPTIONS] (SCRIPT | -m MODULE) [ARGS]..."
FOUND, NOTHING_TO_CHECK = 1, 2  # exit status

OPTIONS: dict[str, dict[str, Any]] = {
    "--json": {"metavar": "FILE", "help": "write what was found as JSON"},
    "--html": {"metavar": "FILE", "help": "write it as a page"},
    "--format": {"choices": ["text", "json", "github", "sarif"], "help": "print findings on stdout (default text)"},
    "--fail-on": {"choices": ["error", "warning"], "help": "what makes the exit status 1 (default warning)"},
    "--seconds": {"metavar": "S", "type": float, "help": "time for looking through the data (default 60)"},
    "--no-rerun": {"action": "store_true", "help": "no second process that looks for uninitialised memory"},
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
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--seconds is {seconds:g}. It has to be a number above 0.")
    kind, name, argv = target_of(options.rest, USAGE)
    from .. import config
    from ..checking import Checking
    from ..session import Target

    named = {"color": given["color"]} if "color" in given else {}
    settings = config.load(named | ({"rerun": False} if given.get("no_rerun") else {}))
    folder = os.getcwd()
    _writable(folder, given)
    checking = Checking(Target(kind, name, argv), settings, seconds=seconds)  # type: ignore[arg-type]
    findings = given.get("format", "text")
    with _stdout_for_findings(findings != "text") as stdout:
        status = checking.run()
        answer = checking.answer
        if answer is None:
            _nothing(status)
            return status or NOTHING_TO_CHECK
        _write(answer, given, folder)
        if findings == "text":
            _tell(answer, settings.color, name)
        else:
            from ..report.formats import write
            from ..report.formats.from_preflight import findings_of, rules_of

            stdout.write(write(findings_of(answer, name), findings, rules_of(answer)))
    return _status(answer, given.get("fail_on", "warning"))


def _status(answer: Preflight, fail_on: str) -> int:
    counts = ("error",) if fail_on == "error" else ("error", "warning")
    return FOUND if any(problem.severity in counts for problem in answer.problems) else 0


def _writable(folder: str, given: dict[str, Any]) -> None:
    """Files that cannot be written are told before the program runs."""
    for option in ("json", "html"):
        if option in given and not (Path(folder) / given[option]).parent.is_dir():
            raise UsageError(f"--{option} {given[option]} cannot be written: there is no such folder.")


@contextlib.contextmanager
def _stdout_for_findings(wanted: bool) -> Iterator[Any]:
    """What the program prints goes to stderr while stdout is for findings."""
    if not wanted:
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as stdout:
            yield stdout
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _tell(answer: Preflight, color: str, name: str) -> None:
    """The answer on stderr, and what to type next."""
    from ..report.preflight import next_command, render
    from ..report.terminal import make_console

    console = make_console(color)
    render(answer, console)
    if (command := next_command(answer, name)) is not None:
        print(f"next {command}", file=sys.stderr)


def _nothing(status: int) -> None:
    why = "ended with an error before its first training step"
    if not status:
        why = "came to no training step: no loop of this process called `loss.backward()` or `optimizer.step()`"
    print(
        f"whynan: the program {why}. There was nothing to check; `whynan lint` reads the "
        "source, and `whynan.check(model, batch, loss)` looks at one step in code.",
        file=sys.stderr,
    )


def _write(answer: Preflight, given: dict[str, Any], folder: str) -> None:
    """The files that were asked for."""
    if "json" in given:
        from ..case import serial, strict_json

        text = strict_json.dumps(serial.plain(answer), indent=1) + "\n"
        (Path(folder) / given["json"]).write_text(text, encoding="utf-8")
    if "html" in given:
        from ..report.preflight_page import page

        (Path(folder) / given["html"]).write_text(page(answer), encoding="utf-8")


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """As `run` does: the first word that is no option belongs to the program."""
    return split_at_program(arguments, OPTIONS)
