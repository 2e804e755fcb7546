"""Print the page of a cause (what happens, how it shows, the experiment that tells, the remedies) or of a lint rule."""

from __future__ import annotations

import argparse
from importlib import import_module
from types import ModuleType

from ..errors import UsageError, WhynanError

NAME = "explain"
HELP = "print the page of a cause or of a lint rule"

_CATALOGUE = "whynan.diagnose.catalogue"


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """The name of a cause, as reports give it."""
    parser.add_argument("cause", metavar="CAUSE", help="as reports name it, log-of-zero, or a rule, WN102")


def run(options: argparse.Namespace) -> int:
    """Print the page on stdout. UsageError for a name that is no cause."""
    from ..lint.rule import find

    rule = find(options.cause)
    if rule is not None and (rule.code == options.cause.upper() or not _is_cause(rule.name)):
        print(rule.page.rstrip("\n"))
        print(f"\nCauses that this can become: {', '.join(rule.causes)} (`whynan explain {rule.causes[0]}`).")
        return 0
    try:
        page: str = _catalogue().page(options.cause)
    except KeyError as error:  # its message is the menu of causes
        raise UsageError(str(error.args[0])) from None
    print(page.rstrip("\n"))
    rules = _rules(options.cause)
    if rules:
        print(f"\nLint rules that find this before it happens: {', '.join(rules)}.")
    return 0


def _rules(name: str) -> list[str]:
    """The lint rules that name a cause, its class, or a cause of this class."""
    from ..lint.rule import rules_about

    entries = [e for e in _catalogue().all_causes().values() if name in (e.name, e.class_)]
    named = {e.name for e in entries} | {e.class_ for e in entries}
    return [f"{rule.code} {rule.name}{' (preview)' if rule.preview else ''}" for rule in rules_about(*sorted(named))]


def _is_cause(name: str) -> bool:
    """Whether a name is also that of a cause, whose page is then meant."""
    try:
        _catalogue().page(name)
    except KeyError:
        return False
    return True


def _catalogue() -> ModuleType:
    """The catalogue of causes; imported late, since it may need torch."""
    try:
        return import_module(_CATALOGUE)
    except ModuleNotFoundError as error:
        if error.name and _CATALOGUE.startswith(error.name):
            raise WhynanError("This version of whynan has no pages of causes yet.") from None
        raise
