"""From a failing input to a minimal one: fewer rows and columns, then simpler numbers, failing at the same place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from whynan.preflight.fuzz.explain import explain
from whynan.preflight.fuzz.fills import fitted, reranged
from whynan.preflight.fuzz.hunt import Failure
from whynan.preflight.fuzz.plans import Plan, Slot
from whynan.preflight.fuzz.probe import Prober, Values

ELEMENTS = 32  # that are simplified one by one


class Shrinker:
    """`seconds` of work bound it; the best input so far is always a failing one."""

    def __init__(self, prober: Prober, failure: Failure, seconds: float) -> None:
        self.prober, self.best = prober, failure
        self.deadline = time.process_time() + seconds

    def run(self) -> Failure:
        for step in (self._sizes, self._tensors, self._elements, self._digits):
            while time.process_time() < self.deadline and step():
                pass
        return self.best

    def _take(self, plan: Plan, values: Values) -> bool:
        """Is this still a failure at the same place? Then it becomes the best."""
        outcome = self.prober(plan, values)
        if outcome.what != self.best.explained.what:
            return False
        explained = explain(self.prober, plan, values)
        if explained is None or explained.key != self.best.explained.key or explained.what != outcome.what:
            return False
        self.best = Failure(plan, values, explained)
        return True

    def _sizes(self) -> bool:
        """Half, then one less, along each letter; the first or the last part."""
        plan = self.best.plan
        letters = {d for s in plan.slots for d in s.dims if isinstance(d, str)} - plan.fixed
        for letter in sorted(letters):
            size, low = plan.sizes[letter], max(1, plan.spans.get(letter, (1, 0))[0])
            for smaller in dict.fromkeys((low, (size + 1) // 2, size - 1)):
                if not low <= smaller < size:
                    continue
                for last in (False, True):
                    if self._take(*cut(self.best.plan, self.best.values, letter, smaller, last)):
                        return True
        return False

    def _tensors(self) -> bool:
        """All arguments at once, or a whole one: 0, 1, one number for all."""
        floats = [i for i, s in enumerate(self.best.plan.slots) if s.floating]
        for number in (0.0, 1.0) if len(floats) > 1 else ():
            values = tuple(
                fitted(torch.full_like(v, number), self.best.plan.slots[i].domain, v.dtype) if i in floats else v
                for i, v in enumerate(self.best.values)
            )
            if sum(_rank(values[i])[1] - _rank(self.best.values[i])[1] for i in floats) < 0 and self._take(
                self.best.plan, values
            ):
                return True
        for i, slot in enumerate(self.best.plan.slots):
            value = self.best.values[i]
            if not isinstance(value, Tensor) or value.numel() == 0:
                continue
            for simple in _simple_tensors(slot, value):
                if _rank(simple) < _rank(value) and self._take(self.best.plan, self._with(i, simple)):
                    return True
        return False

    def _elements(self) -> bool:
        changed = False
        for i, slot in enumerate(self.best.plan.slots):
            value = self.best.values[i]
            if not isinstance(value, Tensor) or not slot.floating:
                continue
            for place in range(min(value.numel(), ELEMENTS)):
                if time.process_time() > self.deadline:
                    return False
                changed = self._element(i, slot, place, (0.0, 1.0, -1.0, 2.0, 0.5)) or changed
        return False if not changed else self._once("_elements")

    def _digits(self) -> bool:
        """Numbers with fewer digits."""
        for i, slot in enumerate(self.best.plan.slots):
            value = self.best.values[i]
            if not isinstance(value, Tensor) or not slot.floating:
                continue
            for place in range(min(value.numel(), ELEMENTS)):
                if time.process_time() > self.deadline:
                    return False
                now = value.reshape(-1)[place].item()
                self._element(i, slot, place, [float(f"{now:.{n}g}") for n in (1, 2, 3, 4)])
        return False

    def _element(self, i: int, slot: Slot, place: int, options: Iterator[float] | tuple | list) -> bool:
        value: Tensor = self.best.values[i]
        now = value.reshape(-1)[place].item()
        for simple in options:
            if _plain(simple) >= _plain(now):
                continue
            trial = value.clone()
            trial.reshape(-1)[place] = simple
            trial = fitted(trial, slot.domain, value.dtype)
            if not torch.equal(trial, value) and self._take(self.best.plan, self._with(i, trial)):
                return True
        return False

    def _once(self, name: str) -> bool:
        """One more round, and no third."""
        done = self.__dict__.setdefault("_done", set())
        first = name not in done
        done.add(name)
        return first

    def _with(self, i: int, value: Tensor) -> Values:
        return tuple(value if k == i else v for k, v in enumerate(self.best.values))


def _plain(number: float) -> tuple[int, float]:
    """0 is plainest, then 1, other small whole numbers, then by the number of digits."""
    if number == 0:
        return 0, (math.copysign(1, number) < 0) / 2
    if number.is_integer() and abs(number) <= 1000:
        return 1, abs(number) + (number < 0) / 2
    return 1 + len(f"{number:.17g}".rstrip("0")), abs(number)


def _rank(value: Tensor) -> tuple[int, float]:
    flat = [_plain(float(v)) for v in value.reshape(-1).tolist()[:64]]
    return len(set(flat)), float(sum(a for a, _ in flat)) + min(sum(b for _, b in flat) * 1e-6, 0.5)


def _simple_tensors(slot: Slot, value: Tensor) -> Iterator[Tensor]:
    if slot.kind == "bool":
        yield from (torch.zeros_like(value), torch.ones_like(value))
        return
    if slot.kind == "int":
        yield torch.full_like(value, int(slot.domain.low))
        return
    first: Callable[[float], Tensor] = lambda v: fitted(torch.full_like(value, v), slot.domain, value.dtype)  # noqa: E731
    yield from (first(0.0), first(1.0), first(2.0))
    flat = value.reshape(-1)
    yield from (first(flat[0].item()), first(flat.double().abs().max().item()))
    yield fitted(value.double().round(), slot.domain, value.dtype)


def cut(plan: Plan, given: Values, letter: str, size: int, last: bool) -> tuple[Plan, Values]:
    """The first or the last part of every argument along the axes that a letter names."""
    plan = reranged(plan.with_sizes(**{letter: size}))
    values = []
    for slot, value in zip(plan.slots, given):
        if isinstance(value, Tensor):
            for axis, dim in enumerate(slot.dims):
                if dim == letter:
                    value = value.narrow(axis, value.shape[axis] - size if last else 0, size)
            if slot.kind == "int":
                value = value.clamp(int(slot.domain.low), int(slot.domain.high))
        values.append(value)
    return plan, tuple(values)
