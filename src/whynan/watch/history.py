"""A short memory of numbers per step: losses, gradient and parameter norms, learning rates.

Kept as python floats in bounded deques; non-finite values are stored as they are and ignored by the statistics.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

LENGTH = 512  # steps


class History:
    """Series over the last `LENGTH` steps. Norms are 2-norms per tensor in the order of the optimizer's parameters."""

    def __init__(self) -> None:
        self.loss: deque[tuple[int, int, float]] = deque(maxlen=LENGTH)  # (backward calls so far, steps, loss)
        self.grad_norms: deque[tuple[int, int, list[float]]] = deque(maxlen=LENGTH)
        self.grad_extremes: deque[tuple[int, int, float, float]] = deque(maxlen=LENGTH)  # largest, smallest but 0
        self.param_norms: deque[tuple[int, int, list[float]]] = deque(maxlen=LENGTH)
        self.lr: deque[tuple[int, int, list[float]]] = deque(maxlen=LENGTH)

    def rewind(self, backwards: int, steps: int) -> None:
        """Forget what came after so many backward calls and optimizer steps: it was undone."""
        while self.loss and self.loss[-1][0] > backwards:
            self.loss.pop()
        by_step: tuple[deque[Any], ...] = (self.grad_norms, self.grad_extremes, self.param_norms, self.lr)
        for series in by_step:
            while series and series[-1][0] >= steps:
                series.pop()


def total(norms: list[float]) -> float:
    """2-norm of a vector of 2-norms; overflow-safe."""
    return math.hypot(*norms) if norms else 0.0
