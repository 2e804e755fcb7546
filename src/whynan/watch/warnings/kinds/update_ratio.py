"""A step is about to change the weights by half of their own size or more, three looks in a row and not less and less.

(Weights that start at zero change by a lot in the beginning, and ever less.)

For optimizers whose step is the learning rate times the gradient (SGD without momentum counts exactly, with momentum
it is a lower bound). A healthy ratio is about a thousandth (Karpathy, "A recipe for training neural networks", 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from whynan.watch.warnings.base import Moment, Sign, Warning, warning

RATIO, ROW = 0.5, 3


@warning("update-ratio")
class UpdateRatio(Warning):
    def __init__(self) -> None:
        self.sizes: dict[int, list[float]] = {}
        self.row: dict[int, list[float]] = {}

    def look(self, moment: Moment) -> Iterator[Sign]:
        for _, key, norms in moment.parameters:
            self.sizes[key] = norms
        for _, key, norms in moment.gradients:
            sizes = self.sizes.get(key)
            if sizes is None or type(moment.optimizer(key)).__name__ != "SGD":
                continue
            weights, gradient = math.hypot(*sizes), math.hypot(*norms)
            ratio = moment.rates.get(key, 0.0) * gradient / weights if weights > 0 else 0.0
            row = self.row.setdefault(key, [])
            if not (math.isfinite(ratio) and ratio > RATIO):
                row.clear()
                continue
            row.append(ratio)
            if len(row) >= ROW and ratio >= row[-ROW]:
                name = None
                if len(sizes) == len(norms):
                    name = moment.name(key, max(range(len(norms)), key=lambda i: norms[i] / max(sizes[i], 1e-12)))
                where = f" (most of all {name})" if name else ""
                yield Sign(f"one step changes the weights by {ratio:.2g} times their size{where}", name, ratio)
