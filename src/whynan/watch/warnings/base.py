"""What a warning sees, and the list of the kinds."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from whynan.watch.warnings.looks import Look


@dataclass(frozen=True)
class Sign:
    """One thing worth a line. `name`: parameter or place in the source; `value`: the number that is too large."""

    message: str
    name: str | None = None
    value: float | None = None


@dataclass
class Moment:
    """What is new since the last time. Numbers may be non-finite; norms are 2-norms per parameter of an optimizer."""

    step: int
    losses: list[tuple[int, float]] = field(default_factory=list)  # (optimizer steps before it, loss)
    gradients: list[tuple[int, int, list[float]]] = field(default_factory=list)  # (step, optimizer, norms)
    parameters: list[tuple[int, int, list[float]]] = field(default_factory=list)
    rates: dict[int, float] = field(default_factory=dict)  # the largest learning rate of an optimizer
    looks: list[Look] = field(default_factory=list)
    skips: int = 0  # steps that GradScaler skipped in a row
    optimizer: Callable[[int], object | None] = lambda key: None
    name: Callable[[int, int], str | None] = lambda key, position: None  # of a parameter


class Warning:
    """One kind. Made once per run; `look` is called with every moment and keeps what it needs to remember."""

    kind = ""

    def look(self, moment: Moment) -> Iterator[Sign]:
        raise NotImplementedError


KINDS: dict[str, type[Warning]] = {}


def warning(kind: str) -> Callable[[type[Warning]], type[Warning]]:
    """Register a class under the name that reports and the documentation use."""

    def register(cls: type[Warning]) -> type[Warning]:
        cls.kind = kind
        KINDS[kind] = cls
        return cls

    return register


def load() -> dict[str, type[Warning]]:
    """All kinds, by name."""
    from whynan.watch.warnings import kinds

    for module in sorted(m.name for m in pkgutil.iter_modules(kinds.__path__)):
        importlib.import_module(f"{kinds.__name__}.{module}")
    return KINDS
