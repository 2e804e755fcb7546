"""One search: inputs from the stages, failures sorted by the place in the source where they are born."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from whynan.preflight.fuzz.assumed import Assumptions
from whynan.preflight.fuzz.edges import faint
from whynan.preflight.fuzz.explain import Explained, Key, explain
from whynan.preflight.fuzz.guided import Guide
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Outcome, Prober, Values
from whynan.preflight.fuzz.structured import structured

EXPLAINED = 6
"""Failures of one appearance that are put under the microscope at once; after that every 2nd, 4th, 8th ... one."""
KEPT = 8
"""Failing inputs that are remembered for one place."""
STARTS = 3


@dataclass
class Failure:
    """One input that fails, and where."""

    plan: Plan
    values: Values
    explained: Explained

    @property
    def size(self) -> tuple[bool, bool, int, int, float]:
        """Numbers far from underflow first, wrong values before wrong gradients, then the small and simple."""
        tensors = [v for v in self.values if isinstance(v, torch.Tensor)]
        distinct = sum(int(t.unique().numel()) for t in tensors)
        loud = sum(float(t.double().abs().clamp(max=1e9).sum()) for t in tensors if t.is_floating_point())
        strange = any(bool(faint(t).any()) for t in tensors if t.is_floating_point())
        return strange, self.explained.what != "value", sum(t.numel() for t in tensors), distinct, loud


@dataclass
class Hunt:
    """The failures that were found, by place; `fine` keeps inputs on which all was well, for comparisons."""

    prober: Prober
    deadline: float
    failures: dict[Key, list[Failure]] = field(default_factory=dict)
    fine: list[tuple[Plan, Values]] = field(default_factory=list)
    valued: list[tuple[Plan, Values]] = field(default_factory=list)  # those whose value is finite, but not a gradient
    refused: Counter[str] = field(default_factory=Counter)
    meant: int = 0  # infinities that the function puts there by name
    assumed: dict[str, str] = field(default_factory=dict)  # what the author's guards take for granted
    seen: Counter[tuple] = field(default_factory=Counter)
    accepted: int = 0

    def __post_init__(self) -> None:
        self.assumptions = Assumptions(self.prober)

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def look(self, plan: Plan, values: Values) -> Key | None:
        """Try one input. The place, when it failed there and this is a finding; None else."""
        outcome = self.prober(plan, values)
        if outcome.error is not None:
            self.refused[f"{type(outcome.error).__name__}: {str(outcome.error).splitlines()[0][:120]}"] += 1
            return None
        self.accepted += 1
        if outcome.bad:
            return self._sort(plan, values, outcome)
        if len(self.fine) < 64 or self.accepted % 16 == 0:
            self.fine.append((plan, values))
        return None

    def _sort(self, plan: Plan, values: Values, outcome: Outcome) -> Key | None:
        if outcome.what == "gradient" and len(self.valued) < 32:
            self.valued.append((plan, values))
        seen = self.seen[appearance(outcome)] = self.seen[appearance(outcome)] + 1
        if seen > EXPLAINED and seen & (seen - 1):
            return None
        explained = explain(self.prober, plan, values)
        if explained is None:
            self.meant += 1
            return None
        assumed = self.assumptions.broken(plan, explained)
        if assumed is not None:
            self.assumed[assumed.place] = assumed.words
            self.seen[appearance(outcome)] = min(seen, EXPLAINED - 1) if len(self.assumed) < 3 else seen
            return None
        kept = self.failures.setdefault(explained.key, [])
        kept.append(Failure(plan, values, explained))
        kept.sort(key=lambda f: f.size)
        del kept[KEPT:]
        return explained.key

    # -- stages

    def structured(self, plan: Plan, seed: int, share: Callable[[int], bool] = lambda _: True) -> None:
        for number, (variant, values) in enumerate(structured(plan, self.prober.dtype, seed)):
            if self.left <= 0:
                return
            if share(number):
                self.look(variant, values)

    def guided(self, plan: Plan, seed: int, starts: int = STARTS) -> None:
        generator = torch.Generator().manual_seed(7919 * seed + 1)
        Guide(self.prober, plan, self.look, self.deadline).run(generator, starts)

    def random(self, plan: Plan, seed: int, examples: int) -> bool:
        from whynan.preflight.fuzz.shapes import search

        return search(self, plan, seed, examples)


def appearance(outcome: Outcome) -> tuple:
    bad = [n for n, g in outcome.gradients.items() if not bool(torch.isfinite(g).all())]
    return outcome.what, outcome.kind, tuple(bad)
