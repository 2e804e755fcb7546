"""A parameter that used to get gradients gets exactly zero, look after look: a dead layer.

ReLUs that never open again, a saturated activation, an underflow in float16. Norms underflow as well (gradients of
1e-30 have a float32 norm of 0), so it is looked at twice before it is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from whynan.watch.warnings.base import Moment, Sign, Warning, warning

ROW, ALIVE = 30, 5


@warning("dead-parameter")
class DeadParameter(Warning):
    def __init__(self) -> None:
        self.alive: dict[tuple[int, int], int] = {}
        self.dead: dict[tuple[int, int], int] = {}

    def look(self, moment: Moment) -> Iterator[Sign]:
        for _, key, norms in moment.gradients:
            for i, norm in enumerate(norms):
                if norm > 0:
                    self.alive[key, i] = self.alive.get((key, i), 0) + 1
                    self.dead[key, i] = 0
                elif norm == 0 and self.alive.get((key, i), 0) >= ALIVE and any(n > 0 for n in norms):
                    self.dead[key, i] = self.dead.get((key, i), 0) + 1
                    if self.dead[key, i] == ROW and _all_zero(moment.optimizer(key), i, len(norms)):
                        name = moment.name(key, i) if len(norms) == _size(moment.optimizer(key)) else None
                        yield Sign(f"{name or 'a parameter'} has got no gradient for {ROW} looks: it is dead", name)


def _all_zero(optimizer: Any, position: int, count: int) -> bool:
    if optimizer is None:
        return False
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return len(grads) == count and not grads[position].is_sparse and not bool(grads[position].count_nonzero())


def _size(optimizer: Any) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)
