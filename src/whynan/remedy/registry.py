"""The kinds of remedy, found by looking into the package: one file per remedy class, the file is its page."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whynan.case.facts import Report
from whynan.remedy.candidate import Candidate, Safety
from whynan.remedy.source import Source

HEADINGS = ("What it does", "When it applies", "When it does not", "Live")
PATCHED = "patched"
"""The live form of a kind that has no intervention of its own: the patched function in the place of the original."""

Propose = Callable[[Report, Source], list[Candidate]]


@dataclass(frozen=True)
class Kind:
    """A remedy class. `where`: "birth" looks at the file of the birth only, "project" at every file of the script.

    `live` names the experiments of `diagnose.counterfactuals` that stand for the remedy in the user's own loop, the
    first that applies is taken; `page` is the docstring of its file.
    """

    name: str
    title: str
    page: str
    safety: Safety
    where: Literal["birth", "project"]
    propose: Propose
    live: tuple[str, ...]


KINDS: dict[str, Kind] = {}


def remedy(
    name: str,
    title: str,
    *,
    live: tuple[str, ...],
    safety: Safety = "unsafe",
    where: Literal["birth", "project"] = "birth",
) -> Callable[[Propose], Propose]:
    """Register a function (Report, Source) -> candidates as the remedy class `name`."""

    def register(function: Propose) -> Propose:
        page = (sys.modules[function.__module__].__doc__ or "").strip()
        KINDS[name] = Kind(name, title, page, safety, where, function, live)
        return function

    return register


def load() -> dict[str, Kind]:
    """All kinds, by name."""
    from whynan.remedy import remedies

    for module in sorted(m.name for m in pkgutil.iter_modules(remedies.__path__)):
        importlib.import_module(f"{remedies.__name__}.{module}")
    return KINDS
