"""Run a training script and explain the first non-finite value that shows.

The script needs no change, and everything after its name belongs to it. stdout is the script's alone; whynan
speaks on stderr, and only when it has found something.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from .program import split_at_program, target_of

NAME = "run"
HELP = "run a script, and explain the first NaN or Inf"
USAGE = "whynan run [OPTIONS] (SCRIPT | -m MODULE) [ARGS]..."

# option -> keywords for argparse; dest is the field of Config
OPTIONS: dict[str, dict[str, Any]] = {
    "--json": {"metavar": "FILE", "help": "write the report as JSON"},
    "--html": {"metavar": "FILE", "help": "write the report as a page"},
    "--format": {"choices": ["text", "github", "sarif"], "help": "also annotate for CI: on stderr, or whynan.sarif"},
    "--no-case": {"dest": "case", "action": "store_false", "help": "leave no case folder"},
    "--cases-dir": {"metavar": "DIR", "help": "folder for the case folders (default whynan-cases)"},
    "--case-mb": {"metavar": "MIB", "type": float, "help": "size of the tensors in a case (default 256)"},
    "--why-budget": {"metavar": "S", "type": float, "help": "seconds for finding the cause (default 30)"},
    "--fix-budget": {"metavar": "S", "type": float, "help": "seconds for trying remedies (default 60)"},
    "--no-fixes": {"dest": "fixes", "action": "store_false", "help": "try no remedies"},
    "--no-rerun": {"dest": "rerun", "action": "store_false", "help": "never run the script from its start again"},
    "--apply": {"action": "store_true", "help": "apply the first verified patch to the script"},
    "--watch-only": {"action": "store_true", "help": "for runs of days: diagnose in place, run nothing a second time"},
    "--fix": {"choices": ["patch", "continue"], "help": "continue: keep the run alive with the best remedy"},
    "--guard": {"metavar": "WORDS", "help": "survive: skip,clip=percentile:95,rollback=10,precision (default none)"},
    "--no-warnings": {"dest": "warnings", "action": "store_false", "help": "no early warnings"},
    "--quiet": {"action": "store_true", "help": "print nothing about what was found"},
    "--color": {"choices": ["auto", "always", "never"], "help": "colours on stderr (default auto)"},
}


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options. Those that are not given stay out, for pyproject or environment to set."""
    for option, keywords in OPTIONS.items():
        parser.add_argument(option, default=argparse.SUPPRESS, **keywords)


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """["run", own options..., rest...] -> (own part, rest), where rest starts with SCRIPT or with -m."""
    return split_at_program(arguments, OPTIONS)


def run(options: argparse.Namespace) -> int:
    """Run the target under whynan and return the exit status."""
    kind, name, argv = target_of(options.rest, USAGE)
    from .. import config

    given = {key: value for key, value in vars(options).items() if key in config.FIELDS}
    settings = config.load(given)
    from ..session import Target
    from ..session import run as run_session

    return run_session(Target(kind, name, argv), settings)  # type: ignore[arg-type]
