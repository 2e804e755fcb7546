"""Everything that guards did: counted, capped, and told at once on the log."""

from __future__ import annotations

import logging
from typing import Any

from whynan.case.facts import Alert

LOG = logging.getLogger("whynan")


class Journal:
    """The actions of one run, oldest first. `cap` in all; `row` of one kind without a healthy update between them."""

    def __init__(self, cap: int, row: int) -> None:
        self.cap, self.row = cap, row
        self.actions: list[Alert] = []
        self.counted = 0
        self.speaks = True  # of several ranks that decide the same, one says it
        self._in_a_row: dict[str, int] = {}
        self._said: set[str] = set()

    def exhausted(self, kind: str) -> bool:
        return self.counted >= self.cap or self._in_a_row.get(kind, 0) >= self.row

    def act(self, kind: str, step: int, message: str, **facts: Any) -> bool:
        """Note an action. False: the cap is reached and it must not be done."""
        if self.exhausted(kind):
            self.give_up(kind, step)
            return False
        self.counted += 1
        self._in_a_row[kind] = self._in_a_row.get(kind, 0) + 1
        self.tell(kind, step, message, **facts)
        return True

    def tell(self, kind: str, step: int, message: str, **facts: Any) -> None:
        """Note something that is not counted."""
        self.actions.append(Alert(step=step, kind=kind, message=message, **facts))
        if self.speaks:
            LOG.warning("whynan: guard at step %d: %s", step, message)

    def healthy(self) -> None:
        """An update went through with finite numbers."""
        self._in_a_row.clear()

    def summary(self) -> str | None:
        """One line for the end of the run."""
        if not self.actions:
            return None
        kinds: dict[str, list[int]] = {}
        for action in self.actions:
            kinds.setdefault(action.kind, []).append(action.step)
        return "; ".join(f"{kind} {len(steps)} times (steps {_some(steps)})" for kind, steps in kinds.items())

    def give_up(self, kind: str, step: int) -> None:
        """Say once that a kind of action will not be done any more."""
        self.cannot(kind, step, f"{self.row} in a row" if self.counted < self.cap else f"{self.cap} actions in all")

    def cannot(self, kind: str, step: int, why: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self.tell("gave-up", step, f"gave up: no more {kind} ({why})")


def _some(steps: list[int]) -> str:
    shown = ", ".join(map(str, steps[:6]))
    return shown + (", ..." if len(steps) > 6 else "")
