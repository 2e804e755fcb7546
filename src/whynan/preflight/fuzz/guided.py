"""The second stage: move the inputs by the gradient of a guarded op's argument until that argument is at its edge.

In float64, where an argument that has saturated in the dtype under test still has a slope. Ways of moving: a Newton
step to the edge (finds exact zeros), twice that step (zeros of squares), a step in the logarithm of the distance (finds
saturations: 1 - sigmoid(x) never reaches 0, and its logarithm falls as fast as x grows), and the corner of the range in
the direction of the gradient (finds overflows at once where the argument is monotone).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from whynan.preflight.fuzz.fills import dtype_of, fitted, typical
from whynan.preflight.fuzz.guards import Concern, listen
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Prober, Values

Look = Callable[[Plan, Values], Any]
STEPS = 12
MOST_CONCERNS = 24


class Guide:
    """Steers the inputs of one plan. `look` is told every input on the way, in the dtype under test."""

    def __init__(self, prober: Prober, plan: Plan, look: Look, deadline: float) -> None:
        self.prober, self.plan, self.look, self.deadline = prober, plan, look, deadline
        self.wide = prober.in_dtype(torch.float64)

    def run(self, generator: torch.Generator, starts: int) -> None:
        for start in range(starts):
            scale = (1.5, 0.3, 8.0)[start % 3]
            values = tuple(typical(s, self.plan, self.prober.dtype, generator, scale) for s in self.plan.slots)
            for order in range(min(len(self._concerns(values)[0]), MOST_CONCERNS)):
                for element in ("nearest", "any"):
                    for move in (_newton, _doubled, _logarithmic, _corner):
                        if time.monotonic() > self.deadline:
                            return
                        self._follow(values, order, element, move, generator)

    def _concerns(self, values: Values) -> tuple[list[Concern], dict[str, Tensor]]:
        """What the ops are given at these inputs, in float64, and the leaves to move."""
        arguments: list[Any] = []
        leaves: dict[str, Tensor] = {}
        for slot, value in zip(self.plan.slots, values):
            if slot.floating:
                value = value.detach().double().clone().requires_grad_()
                leaves[slot.name] = value
            arguments.append(value)
        try:
            return listen(lambda: self.wide.forward(self.plan, arguments)), leaves
        except Exception:
            return [], leaves

    def _follow(self, values: Values, order: int, element: str, move: Any, generator: torch.Generator) -> None:
        index: int | None = None
        for _ in range(STEPS):
            concerns, leaves = self._concerns(values)
            if order >= len(concerns) or concerns[order].argument.numel() == 0:
                return
            concern = concerns[order]
            flat = concern.argument.reshape(-1)
            if index is None or index >= flat.numel():
                index = _chosen(flat.detach(), concern, element, generator)
            slopes = torch.autograd.grad(flat[index], list(leaves.values()), allow_unused=True)
            moved = list(move(flat[index].item(), concern, dict(zip(leaves, slopes)), leaves, self.plan))
            if not moved:
                return
            for change in moved:
                following = self._fitted(values, change)
                if self.look(self.plan, following):
                    return
            if move is _corner or all(_same(a, b) for a, b in zip(values, following)):
                return
            values = following

    def _fitted(self, values: Values, change: dict[str, Tensor]) -> Values:
        """The changed leaves within their ranges, kept in float64 only as far as the dtype under test can say."""
        out = []
        for slot, value in zip(self.plan.slots, values):
            if slot.name in change:
                value = fitted(change[slot.name].detach(), slot.domain, dtype_of(slot, self.prober.dtype))
            out.append(value)
        return tuple(out)


def _same(a: Any, b: Any) -> bool:
    return not isinstance(a, Tensor) or torch.equal(a, b)


def _chosen(flat: Tensor, concern: Concern, element: str, generator: torch.Generator) -> int:
    if element == "any":
        return int(torch.randint(flat.numel(), (), generator=generator))
    if concern.edge.way == "at":
        return int((flat - concern.edge.value).abs().argmin())
    return int(flat.argmax() if concern.edge.way == "up" else flat.argmin())


Slopes = dict[str, Tensor | None]


def _newton(y: float, concern: Concern, slopes: Slopes, leaves: dict[str, Tensor], plan: Plan) -> Iterator[dict]:
    """To where the tangent says the argument is at its edge."""
    if concern.edge.way != "at" or y == concern.edge.value:
        return
    size = sum(float((g.nan_to_num(0) ** 2).sum()) for g in slopes.values() if g is not None)
    if size > 0:
        factor = (y - concern.edge.value) / size
        yield {n: leaves[n] - factor * g.nan_to_num(0) for n, g in slopes.items() if g is not None}


def _doubled(y: float, concern: Concern, slopes: Slopes, leaves: dict[str, Tensor], plan: Plan) -> Iterator[dict]:
    """Twice as far: exact where the argument is a sum of squares, whose zero is a double one."""
    for change in _newton(y, concern, slopes, leaves, plan):
        yield {n: 2 * moved - leaves[n] for n, moved in change.items()}


def _logarithmic(y: float, concern: Concern, slopes: Slopes, leaves: dict[str, Tensor], plan: Plan) -> Iterator[dict]:
    """The distance to the edge smaller by a factor of e^6, as the tangent of its logarithm says."""
    distance = y - concern.edge.value
    if concern.edge.way != "at" or distance == 0:
        return
    rates = {n: (g / distance).nan_to_num(0, 0, 0) for n, g in slopes.items() if g is not None}
    size = sum(float((r**2).sum()) for r in rates.values())
    if size > 0:
        yield {n: leaves[n] - 6.0 / size * r for n, r in rates.items()}


def _corner(y: float, concern: Concern, slopes: Slopes, leaves: dict[str, Tensor], plan: Plan) -> Iterator[dict]:
    """The corner of the ranges towards the edge, and two points on the way."""
    up = concern.edge.way == "up" or (concern.edge.way == "at" and y < concern.edge.value)
    domains = {s.name: s.domain for s in plan.floats}
    for part in (0.1, 0.45, 1.0):
        change = {}
        for name, slope in slopes.items():
            if slope is None:
                continue
            towards = slope if up else -slope
            bounds = torch.where(towards > 0, domains[name].high, domains[name].low).double()
            corner = torch.where(towards == 0, leaves[name].detach(), bounds)
            change[name] = leaves[name].detach() + part * (corner - leaves[name].detach())
        if change:
            yield change
