"""The first stage: edge values and structures, argument by argument and together, in several sizes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

from whynan.preflight.fuzz.fills import (
    Labelled,
    constants,
    discrete,
    fitted,
    related,
    reranged,
    shaped,
    sized,
    typical,
    uniform,
)
from whynan.preflight.fuzz.plans import Plan, Slot
from whynan.preflight.fuzz.probe import Values

TOGETHER = 6
"""Edge values that arguments take together; more make products too long."""
MOST_TOGETHER = 1500


def structured(plan: Plan, dtype: torch.dtype, seed: int) -> Iterator[tuple[Plan, Values]]:
    """Inputs in a fixed order for a fixed seed; the plan's own sizes come first and are searched most."""
    for number, variant in enumerate(sized(plan)):
        variant = reranged(variant)
        generator = torch.Generator().manual_seed(1000 * seed + number)
        yield from ((variant, v) for v in _of_sizes(variant, dtype, generator, thorough=number == 0))


def _of_sizes(plan: Plan, dtype: torch.dtype, generator: torch.Generator, thorough: bool) -> Iterator[Values]:
    def ordinary() -> list:
        return [typical(s, plan, dtype, generator) for s in plan.slots]

    yield tuple(ordinary())
    yield from _together(plan, dtype, generator, thorough)
    for i, slot in enumerate(plan.slots):
        for number, (_, value) in enumerate(_fills(slot, plan, dtype, generator)):
            if not thorough and slot.floating and number % 2:
                continue
            values = ordinary()
            values[i] = value
            yield tuple(values)
    yield from _pairs(plan, dtype, generator, 6 if thorough else 2)
    for _ in range(12 if thorough else 3):
        yield tuple(uniform(s, plan, dtype, generator) for s in plan.slots)


def _fills(slot: Slot, plan: Plan, dtype: torch.dtype, generator: torch.Generator) -> Iterator[Labelled]:
    if slot.kind == "constant":
        return
    if slot.floating:
        yield from constants(slot, plan, dtype)
        yield from shaped(slot, plan, dtype, generator)
    else:
        yield from discrete(slot, plan, generator)


def _together(plan: Plan, dtype: torch.dtype, generator: torch.Generator, thorough: bool) -> Iterator[Values]:
    """All arguments at edge values at once: 0 with 0, 0 with 1, low with high; with every kind of mask."""
    if sum(s.kind != "constant" for s in plan.slots) < 2:
        return
    few: list[list] = []
    wanted = TOGETHER if len(plan.slots) <= 3 else 3
    for slot in plan.slots:
        if slot.kind == "constant":
            few.append([slot.constant])
        elif slot.floating:
            own = [v for _, v in itertools.islice(constants(slot, plan, dtype), wanted)]
            few.append([*own, typical(slot, plan, dtype, generator)])
        else:
            few.append([v for _, v in itertools.islice(discrete(slot, plan, generator), wanted)])
    yield from itertools.islice(itertools.product(*few), 0, MOST_TOGETHER, 1 if thorough else 5)


def _pairs(plan: Plan, dtype: torch.dtype, generator: torch.Generator, times: int) -> Iterator[Values]:
    """Arguments of one shape that have to do with each other: identical pairs, opposite ones, nearly equal ones."""
    floats = [i for i, s in enumerate(plan.slots) if s.floating]
    for i, j in itertools.permutations(floats, 2):
        if plan.shape(plan.slots[i]) != plan.shape(plan.slots[j]):
            continue
        for scale in (1.5, 0.1, 20.0, 1e-3)[:times] * (2 if times > 4 else 1):
            values = [typical(s, plan, dtype, generator, scale) for s in plan.slots]
            if scale == 0.1 and values[i].dim():
                rows = values[i].double()
                unit = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)
                values[i] = fitted(unit, plan.slots[i].domain, values[i].dtype)
            for _, twin in related(plan.slots[j], values[i], dtype, generator):
                yield tuple(twin if k == j else v for k, v in enumerate(values))
