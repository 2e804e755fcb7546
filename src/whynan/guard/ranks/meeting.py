"""What the processes tell each other when they meet, and what follows from it: the same on every one of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_ORDER = ("loss", "exception", "output", "gradient", "parameter", "state", "buffer")  # as a bad value travels


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Of one rank, at the end of the iteration at which all stopped. Iterations are those of the loop's run."""

    rank: int
    loop: str  # file:line
    first: int
    index: int
    failed: int | None  # the iteration of its alarm
    step: int = 0
    what: str = ""
    snapshots: list[int] = field(default_factory=list)
    healthy: list[int] = field(default_factory=list)
    autocast: bool = False  # the program uses it

    def precedence(self) -> tuple[int, int, int]:
        place = _ORDER.index(self.what) if self.what in _ORDER else len(_ORDER)
        return self.step, place, self.rank


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """`leader`: the rank whose alarm was first. It investigates; the others execute what it executes."""

    rank: int
    leader: int
    world: int
    failed: int
    step: int
    what: str
    snapshots: frozenset[int]  # that every rank has
    healthy: frozenset[int]  # and that are worth going back to, on every rank
    autocast: bool
    contested: bool  # the leader's alarm came when averaging had made all ranks bad, or others had the same

    @property
    def leads(self) -> bool:
        return self.rank == self.leader

    @classmethod
    def of(cls, everybody: list[dict[str, Any]], rank: int) -> Meeting | str:
        """The meeting, or why there can be none."""
        facts = [Facts(**one) for one in everybody]
        failing = [one for one in facts if one.failed is not None]
        places = {(one.loop, one.first, one.index) for one in facts}
        if len(places) > 1:
            where = "; ".join(f"rank {f.rank} in iteration {f.first + f.index} of {f.loop}" for f in facts[:4])
            return f"the ranks are not in the same iteration ({where})"
        if not failing:
            return "the loop that failed is over"
        leader = min(failing, key=Facts.precedence)
        alike = [one for one in failing if one.precedence()[:2] == leader.precedence()[:2]]
        common = frozenset.intersection(*(frozenset(one.snapshots) for one in facts))
        healthy = frozenset.intersection(*(frozenset(one.healthy) for one in facts)) & common
        assert leader.failed is not None
        if not any(index <= leader.failed for index in common):
            return "the ranks have no state in common to go back to"
        return cls(
            rank=rank, leader=leader.rank, world=len(facts), failed=leader.failed, step=leader.step, what=leader.what,
            snapshots=common, healthy=frozenset(i for i in healthy if i < leader.failed),
            autocast=all(one.autocast for one in facts),
            contested=len(alike) > 1 or leader.what in ("gradient", "parameter", "state"),
        )  # fmt: skip
