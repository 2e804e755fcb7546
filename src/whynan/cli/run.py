"""Run a training script and explain the first non-finite value that shows.

The script needs no change, and everything after its name belongs to it. stdout is the script's alone; whynan
speaks on stderr, and only when it has found something.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from ..errors import UsageError

NAME = "run"
HELP = "run a script, and explain the first NaN or Inf"
USAGE = "whynan run [OPTIONS] (SCRIPT | -m MODULE) [ARGS]..."

# option -> keywords for argparse; dest is the field of Config
OPTIONS: dict[str, dict[str, Any]] = {
    "--json": {"metavar": "FILE", "help": "write the report as JSON"},
    "--html": {"metavar": "FILE", "help": "write the report as a page"},
    "--no-case": {"dest": "case", "action": "store_false", "help": "leave no case folder"},
    "--cases-dir": {"metavar": "DIR", "help": "folder for the case folders (default whynan-cases)"},
    "--why-budget": {"metavar": "S", "type": float, "help": "seconds for finding the cause (default 30)"},
    "--fix-budget": {"metavar": "S", "type": float, "help": "seconds for trying remedies (default 60)"},
    "--no-fixes": {"dest": "fixes", "action": "store_false", "help": "try no remedies"},
    "--no-rerun": {"dest": "rerun", "action": "store_false", "help": "never run the script from its start again"},
    "--apply": {"action": "store_true", "help": "apply the first verified patch to the script"},
    "--watch-only": {"action": "store_true", "help": "only notice; neither replay nor diagnose"},
    "--quiet": {"action": "store_true", "help": "print nothing about what was found"},
    "--color": {"choices": ["auto", "always", "never"], "help": "colours on stderr (default auto)"},
}
_MODULE = "-m"


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options. Those that are not given stay out, for pyproject or environment to set."""
    for option, keywords in OPTIONS.items():
        parser.add_argument(option, default=argparse.SUPPRESS, **keywords)


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """["run", own options..., rest...] -> (own part, rest), where rest starts with SCRIPT or with -m.

    argparse.REMAINDER is not used: it treats `--` and options that both sides know differently from version to
    version. The rule is python's: the first word that is neither an option nor an option's value is the script, and
    a `--` before it only ends the options.
    """
    position = 1
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            return list(arguments[:position]), list(arguments[position + 1 :])
        if word.startswith(_MODULE) and not word.startswith("--") or not word.startswith("-") or word == "-":
            break
        takes_value = word in OPTIONS and "action" not in OPTIONS[word]
        position += 2 if takes_value else 1
    return list(arguments[:position]), list(arguments[position:])


def run(options: argparse.Namespace) -> int:
    """Run the target under whynan and return the exit status."""
    kind, name, argv = target_of(options.rest)
    from .. import config

    given = {key: value for key, value in vars(options).items() if key in config.FIELDS}
    settings = config.load(given)
    from ..session import Target
    from ..session import run as run_session

    return run_session(Target(kind, name, argv), settings)  # type: ignore[arg-type]


def target_of(rest: Sequence[str]) -> tuple[str, str, list[str]]:
    """("script" | "module", name, its arguments) of what follows the options. UsageError where nothing can be run."""
    if not rest:
        raise UsageError(f"There is no script to run. Usage: {USAGE}")
    if rest[0].startswith(_MODULE):
        words = [rest[0][2:], *rest[1:]] if rest[0] != _MODULE else list(rest[1:])
        if not words or not words[0]:
            raise UsageError(f"-m needs the name of a module. Usage: {USAGE}")
        return "module", words[0], words[1:]
    if not os.path.exists(rest[0]):
        raise UsageError(f"There is no script {rest[0]!r} in {os.getcwd()}. Usage: {USAGE}")
    return "script", rest[0], list(rest[1:])
