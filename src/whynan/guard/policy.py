"""What a policy is, and the list of them: one file each under `policies`, which registers itself.

A policy judges an update before it is made (`update`), or answers a failure with going on (`failure`).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from whynan.guard.autocast import Autocast
from whynan.guard.journal import Journal
from whynan.guard.ranks.meeting import Meeting
from whynan.guard.settings import Settings
from whynan.watch.goingon import Continue
from whynan.watch.loops import LoopRun
from whynan.watch.seen import Seen
from whynan.watch.snapshot import Snapshot


@dataclass
class Update:
    """One optimizer step that is about to be made: what is known on every rank, and what shall become of it."""

    step: int
    optimizer: Any
    norm: float  # 2-norm of all gradients, unscaled; not finite if one of them is not, or the loss was not
    why: str | None = None  # what was not finite, in words
    past: list[float] = field(default_factory=list)  # finite norms of the updates before, oldest first
    held: bool = False
    factor: float = 1.0  # of the gradients


@dataclass(frozen=True)
class Failure:
    """An alarm that no update can undo any more. On every rank the same, but for the objects that belong to it."""

    run: LoopRun
    index: int  # the iteration of the run that failed
    step: int
    what: str
    snapshots: list[Snapshot]  # states to go back to, oldest first
    healthy: list[Snapshot]  # those whose update was looked at, and found finite
    autocast: bool  # the program uses it
    again: int  # rollbacks since the last iteration that was farther than the failing one

    @classmethod
    def of(cls, run: LoopRun, seen: Seen, meeting: Meeting | None, again: int) -> Failure:
        """What this process alone knows, or what all agreed upon."""
        record = run.record
        assert record is not None
        if meeting is None:
            last = record.at_or_before(run.index)
            snapshots = [last] if last is not None else []
            return cls(run, run.index, seen.step, seen.what, snapshots, record.healthy(before=run.index),
                       Autocast.used, again)  # fmt: skip
        snapshots = [s for s in record.snapshots if s.index <= meeting.failed]
        healthy = [s for s in snapshots if s.index in meeting.healthy]
        return cls(run, meeting.failed, meeting.step, meeting.what, snapshots, healthy, meeting.autocast, again)


class Policy:
    """`settings` and `journal` are those of the guard."""

    name = ""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self.settings, self.journal = settings, journal

    def update(self, update: Update) -> None:
        """Before an optimizer step; may set `held` or `factor`."""

    def failure(self, failure: Failure) -> Continue | None:
        """How to go on, or None where this policy cannot help."""
        return None

    def rate(self) -> float:
        """Factor of the learning rate from now on."""
        return 1.0


POLICIES: dict[str, tuple[int, Callable[[Settings], Any], type[Policy]]] = {}


def policy(
    name: str, *, order: int, wanted: Callable[[Settings], Any]
) -> Callable[[type[Policy]], type[Policy]]:
    """Register a class. `order`: who is asked first; `wanted(settings)`: whether it is switched on."""

    def register(cls: type[Policy]) -> type[Policy]:
        cls.name = name
        POLICIES[name] = (order, wanted, cls)
        return cls

    return register


def chosen(settings: Settings, journal: Journal) -> list[Policy]:
    """The policies that are switched on, in their order."""
    from whynan.guard import policies

    for module in sorted(m.name for m in pkgutil.iter_modules(policies.__path__)):
        importlib.import_module(f"{policies.__name__}.{module}")
    entries = sorted(POLICIES.values(), key=lambda entry: entry[0])
    return [cls(settings, journal) for _, wanted, cls in entries if wanted(settings)]
