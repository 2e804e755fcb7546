"""All causes, found by looking into the package: one file per cause, the file is its page."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from whynan.diagnose.assessment import Assessment
from whynan.diagnose.inquest import Inquest

HEADINGS = ("What happens", "How it shows", "Experiment", "Remedies", "Example")


@dataclass(frozen=True)
class CauseEntry:
    """`name` is the finer cause, `class_` the root-cause class of the report, `remedies` classes of remedies."""

    name: str
    class_: str
    remedies: tuple[str, ...]
    assess: Callable[[Inquest], Assessment]
    page: str


@cache
def all_causes() -> dict[str, CauseEntry]:
    """Causes by name, sorted."""
    from whynan.diagnose import causes

    found = {}
    for module_name in sorted(m.name for m in pkgutil.iter_modules(causes.__path__)):
        module = importlib.import_module(f"{causes.__name__}.{module_name}")
        entry = CauseEntry(
            module.NAME, module.CLASS, tuple(module.REMEDIES), module.assess, (module.__doc__ or "").strip()
        )
        found[entry.name] = entry
    return dict(sorted(found.items()))


def page(name: str) -> str:
    """The page of a cause, by its name or the name of a class (all causes of that class). KeyError with the menu."""
    entries = all_causes()
    of_class = [e.page for e in entries.values() if e.class_ == name and e.name != name]
    if name in entries:
        of_class.insert(0, entries[name].page)
    if of_class:
        return "\n\n".join(of_class)
    raise KeyError(f"{name!r} is no cause. Causes are: {', '.join(entries)}.")


def section(page: str, heading: str) -> str:
    """The text under one heading of a page."""
    lines, found = page.splitlines(), []
    inside = False
    for i, line in enumerate(lines):
        underlined = i + 1 < len(lines) and lines[i + 1].strip() and set(lines[i + 1].strip()) == {"-"}
        if underlined:
            inside = line.strip() == heading
            continue
        if inside and not (line.strip() and set(line.strip()) == {"-"}):
            found.append(line)
    return "\n".join(found).strip("\n")
