"""`whynan.guard(optimizer, ...)`: a guard without a watch. It sees gradients, not losses, and cannot go back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from whynan.case.facts import Alert, Report, Run, Symptom
from whynan.errors import NonFiniteError, UsageError
from whynan.guard.guard import Guard, refuse
from whynan.guard.settings import Settings


class StandaloneGuard:
    """Acts on every step of these optimizers until `remove()` is called, or as a context."""

    def __init__(self, optimizers: Iterable[Any], options: dict[str, Any]) -> None:
        known = {field.name for field in dataclasses.fields(Settings)}
        for name in options:
            if name not in known:
                raise UsageError(f"whynan.guard() has no option {name!r}. Valid names are {', '.join(sorted(known))}.")
        chosen = list(optimizers)
        if not chosen:
            raise UsageError("whynan.guard() needs the optimizers that it shall guard.")
        settings = Settings(**options)
        refuse(chosen, settings)
        self._guard = Guard(settings, chosen)
        if settings.skip:
            self._guard.on_gave_up = self._give_up

    @property
    def actions(self) -> tuple[Alert, ...]:
        """What was done, oldest first."""
        return tuple(self._guard.journal.actions)

    @property
    def skipped(self) -> int:
        """Updates that were held back."""
        return sum(action.kind == "skip" for action in self.actions)

    def remove(self) -> None:
        """Take the hooks out again."""
        self._guard.remove()

    def __enter__(self) -> StandaloneGuard:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def _give_up(self, optimizer: Any, why: str) -> None:
        step = self._guard.clock()
        symptom = Symptom(step=step, iteration=None, what="gradient", value="nan")
        report = Report(verdict="nonfinite", run=Run(script=""), symptom=symptom, actions=self.actions)
        text = f"the guard gave up at step {step}: {why}. `whynan run` says where it comes from."
        raise NonFiniteError(text, report)
