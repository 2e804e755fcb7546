"""`whynan COMMAND`. Finds the command, runs it, and prints a WhynanError once, without traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from .. import __version__
from ..errors import WhynanError
from . import cases, check, demo, diff, doctor, explain, fuzz, lint, replay, run, show, shrink

COMMANDS: tuple[ModuleType, ...] = (run, check, lint, fuzz, show, cases, replay, shrink, diff, explain, demo, doctor)

_DESCRIPTION = """\
Where was the first NaN or Inf of a PyTorch run born, why, and which change cures it.

    whynan run train.py --epochs 3     your script, unchanged; everything after it belongs to it
"""
_EPILOG = """\
exit status of run: 0 nothing found and the script ended well; 3 something non-finite was found and explained;
else the script's own. 2 is a usage error. `whynan COMMAND --help` tells more about each command.
"""


class _Parser(argparse.ArgumentParser):
    """argparse whose complaints end with where to find help."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"whynan: {message}. Try: {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="whynan", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=raw, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"whynan {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.__doc__,
            usage=getattr(command, "USAGE", None),
            formatter_class=raw,
            allow_abbrev=False,
        )
        command.prepare_parser(sub)
        sub.set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    program = next((command for command in (run, check) if given[:1] == [command.NAME]), None)
    given, rest = program.split(given) if program is not None else (given, [])
    try:
        options = make_parser().parse_args(given)
        options.rest = rest
        status: int = options.run(options)
        return status
    except WhynanError as error:
        print(f"whynan: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        return _pipe_closed()


def _pipe_closed() -> int:
    """Whoever read our output (head, less) has gone. Python would complain once more at exit when it flushes stdout."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # 128 + SIGPIPE, as a shell reports it
