"""The same search over several processes: shares of the inputs, each by its own interpreter, put together in order.

What is found depends on the seed only, not on the number of processes: a share is a list of numbers of inputs, and
the parent looks at everything that a worker found once more, in the order of the shares.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch

from whynan.preflight.fuzz.hunt import Hunt
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Prober, Values, quiet
from whynan.preflight.fuzz.target import Target, load

ROUNDS = 3
"""Rounds of random search; those after the first are for functions in which nothing was found."""
EXAMPLES = 60
"""Inputs that Hypothesis draws in one round for one plan."""


@dataclass(frozen=True)
class Unit:
    """A piece of work: one stage for one plan. `part` of `parts` splits the structured stage."""

    plan: Plan
    stage: str
    seed: int
    part: int = 0
    parts: int = 1
    again: bool = False  # another round, for functions in which nothing was found yet

    def run(self, hunt: Hunt) -> bool:
        """False when the stage needs something that is not installed."""
        if self.stage == "structured":
            hunt.structured(self.plan, self.seed, lambda number: number % self.parts == self.part)
        elif self.stage == "guided":
            hunt.guided(self.plan, self.seed)
        else:
            return hunt.random(self.plan, self.seed, EXAMPLES)
        return True


def units(plans: list[Plan], seed: int, parts: int = 1) -> Iterator[Unit]:
    for plan in plans:
        yield from (Unit(plan, "structured", seed, part, parts) for part in range(parts))
    for plan in plans:
        yield Unit(plan, "guided", seed)
    for number in range(ROUNDS):
        for plan in plans:
            yield Unit(plan, "random", seed * ROUNDS + number, again=number > 0)
            if number:
                yield Unit(plan, "guided", seed * ROUNDS + number + 1, again=True)


@dataclass
class Workers:
    """Processes that each load the function by its name."""

    target: Target
    dtype: torch.dtype
    gradient: bool
    jobs: int

    def run(self, work: list[Unit], deadline: float) -> Iterator[list[tuple[Plan, Values]]]:
        """The failing inputs of every unit, in the order of the units."""
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        spec, dtype = self.target.spec or "", str(self.dtype).removeprefix("torch.")
        ends = time.time() + deadline - time.monotonic()  # a clock that processes share
        with ProcessPoolExecutor(self.jobs, mp_context=context) as pool:
            futures = [pool.submit(_work, spec, dtype, self.gradient, unit, ends) for unit in work]
            for future in futures:
                yield future.result()


_loaded: dict[tuple[str, str], Prober] = {}


def _work(spec: str, dtype: str, gradient: bool, unit: Unit, ends: float) -> list[tuple[Plan, Values]]:
    torch.set_num_threads(1)
    key = (spec, dtype)
    with quiet():
        if key not in _loaded:
            _loaded[key] = Prober(load(spec), getattr(torch, dtype), gradient=gradient)
        hunt = Hunt(_loaded[key], time.monotonic() + ends - time.time())
        unit.run(hunt)
    return [(f.plan, f.values) for kept in hunt.failures.values() for f in kept]
