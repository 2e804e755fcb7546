"""The kinds of remedy. Each file in `remedies/` registers one or more; importing `remedies` loads all of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whynan.case.facts import Report
from whynan.remedy.candidate import Candidate, Safety
from whynan.remedy.source import Source

Propose = Callable[[Report, Source], list[Candidate]]


@dataclass(frozen=True)
class Kind:
    """A remedy class. `where`: "birth" looks at the file of the birth only, "project" at every file of the script."""

    name: str
    title: str
    what: str
    safety: Safety
    where: Literal["birth", "project"]
    propose: Propose


KINDS: dict[str, Kind] = {}


def remedy(
    name: str, title: str, *, safety: Safety = "unsafe", where: Literal["birth", "project"] = "birth"
) -> Callable[[Propose], Propose]:
    """Register a function (Report, Source) -> candidates as the remedy class `name`; its docstring says what it
    does."""

    def register(function: Propose) -> Propose:
        KINDS[name] = Kind(name, title, (function.__doc__ or "").strip(), safety, where, function)
        return function

    return register


def load() -> dict[str, Kind]:
    """All kinds, by name."""
    from whynan.remedy import remedies

    for module in sorted(m.name for m in pkgutil.iter_modules(remedies.__path__)):
        importlib.import_module(f"{remedies.__name__}.{module}")
    return KINDS
