"""Which words of a command line are whynan's, and which belong to the program that is to be run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UsageError

_MODULE = "-m"


def split_at_program(
    arguments: Sequence[str], options: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """[command, own options..., rest...] -> (own part, rest), where rest starts with SCRIPT or with -m.

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
        takes_value = word in options and "action" not in options[word]
        position += 2 if takes_value else 1
    return list(arguments[:position]), list(arguments[position:])


def target_of(rest: Sequence[str], usage: str) -> tuple[str, str, list[str]]:
    """("script" | "module", name, its arguments) of what follows the options. UsageError where nothing can be run."""
    if not rest:
        raise UsageError(f"There is no script to run. Usage: {usage}")
    if rest[0].startswith(_MODULE):
        words = [rest[0][2:], *rest[1:]] if rest[0] != _MODULE else list(rest[1:])
        if not words or not words[0]:
            raise UsageError(f"-m needs the name of a module. Usage: {usage}")
        return "module", words[0], words[1:]
    if not os.path.exists(rest[0]):
        raise UsageError(f"There is no script {rest[0]!r} in {os.getcwd()}. Usage: {usage}")
    return "script", rest[0], list(rest[1:])
