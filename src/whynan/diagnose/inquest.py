"""What is known when the question is "why": the file of one failure, with everything that may still be measured.

Every part may be missing. A re-run from the start gives a `Birth` without a trace; a failure outside of any loop
gives a trace without a run, and then nothing can be executed again. Measurements ask the inquest for what they need
and answer None when it is not there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from whynan.case.facts import Birth

if TYPE_CHECKING:
    from whynan.config import Config
    from whynan.replay.births import Finding
    from whynan.replay.locate import Located
    from whynan.replay.names import Name, Names
    from whynan.replay.trace import OpRecord, Trace
    from whynan.watch.history import History
    from whynan.watch.loops import LoopRun
    from whynan.watch.recorder import Recorder
    from whynan.watch.sentinel import Seen
    from whynan.watch.snapshot import Snapshot
    from whynan.watch.watcher import Watcher

T = TypeVar("T")


@dataclass(eq=False)
class Inquest:
    """The facts of one failure. `cache` holds measurements by name, `errors` what went wrong while measuring."""

    birth: Birth | None = None
    step: int = 0
    iteration: int = 0
    seen: Seen | None = None  # the symptom as the replay saw it
    alarm: Seen | None = None  # the symptom as it was seen the first time
    finding: Finding | None = None
    trace: Trace | None = None
    names: Names | None = None
    source: Name | None = None
    source_tensor: Tensor | None = None
    run: LoopRun | None = None
    recorder: Recorder | None = None
    snapshot: Snapshot | None = None
    history: History | None = None
    watcher: Watcher | None = None
    reproduced: str = "no"
    budget: float = 30.0  # seconds of counterfactuals
    files: tuple[str, ...] = ()  # sources of the user that may be read
    cache: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    cleanup: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)  # undoes what an attempt set up

    @classmethod
    def of(cls, located: Located, watcher: Watcher, config: Config) -> Inquest:
        run = located.run
        birth = located.birth
        places = [birth.file if birth else None, run.site.file if run else None]
        places += [site.file for site in birth.stack] if birth else []
        return cls(
            birth=birth,
            step=located.step,
            iteration=located.iteration,
            seen=located.seen,
            alarm=watcher.pending[1] if watcher.pending is not None else located.seen,
            finding=located.finding,
            trace=located.trace,
            names=located.names,
            source=located.source,
            source_tensor=located.source_tensor,
            run=run,
            recorder=run.record if run else None,
            snapshot=located.snapshot,
            history=watcher.sentinel.history,
            watcher=watcher,
            reproduced=located.reproduced,
            budget=config.why_budget,
            files=tuple(dict.fromkeys(p for p in places if p)),
        )

    @property
    def record(self) -> OpRecord | None:
        """The op of the birth, where it was seen under the microscope."""
        return self.finding.birth if self.finding is not None else None

    @property
    def index(self) -> int:
        """Index, within the loop's run, of the iteration that failed."""
        return self.iteration - (self.run.first if self.run is not None else 0)

    @property
    def repeatable(self) -> bool:
        """Can iterations be executed again?"""
        return self.run is not None and self.recorder is not None and bool(self.recorder.snapshots)

    @property
    def optimizers(self) -> list[Any]:
        return list(self.snapshot.optimizers) if self.snapshot is not None else []

    @property
    def modules(self) -> list[Any]:
        return list(self.snapshot.modules) if self.snapshot is not None else []

    @property
    def updates(self) -> int:
        """Updates of the parameters before the birth; iterations, where they are updated by hand."""
        if self.birth is None:
            return self.step
        by_hand = self.snapshot is not None and not self.snapshot.optimizers
        return max(self.birth.step, self.birth.iteration or 0) if by_hand else self.birth.step

    @property
    def first_step(self) -> bool:
        """Did it fail before any update of parameters was made?"""
        return self.birth is not None and self.updates == 0 and self.birth.phase not in ("data", "optimizer")

    def name_of(self, tensor: Tensor | None) -> str | None:
        known = self.names.of(tensor) if self.names is not None and tensor is not None else None
        return known.name if known is not None else None


def measurement(function: Callable[[Inquest], T]) -> Callable[[Inquest], T | None]:
    """Measured once, when first asked for; None when it cannot be measured. A mistake here never costs the report."""
    key = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def measured(inquest: Inquest) -> T | None:
        if key not in inquest.cache:
            inquest.cache[key] = None  # a measurement that asks for itself gets None
            try:
                inquest.cache[key] = function(inquest)
            except Exception as error:
                inquest.errors.append(f"{function.__name__}: {type(error).__name__}: {error}")
        return inquest.cache[key]

    return measured
