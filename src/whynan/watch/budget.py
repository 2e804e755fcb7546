"""How often something is done that costs time: always while it is cheap, else so rarely that it keeps to its share.

Everything that can be paced has a share of the time between two of its turns: looks at gradients, at parameters and
state, at activations, snapshots, what early warnings make of it. When nothing is due, a step costs one subtraction.
"""

from __future__ import annotations

import math

GRADIENTS = 0.003  # shares of the time
PARAMETERS = 0.0015
SNAPSHOTS = 0.0025
ACTIVATIONS = 0.0025
WARNINGS = 0.0015
WARM_UP = 8  # turns in the beginning, whatever they cost: most failures come early


class Pace:
    """One thing that is done every `every` steps. The caller counts `left` down and calls `done` after each turn."""

    __slots__ = ("share", "rarest", "every", "left", "urgent", "_turns", "_last", "_cost", "_step", "_calm")

    def __init__(self, share: float, rarest: int) -> None:
        self.share = share
        self.rarest = rarest  # steps
        self.every = self.left = 1
        self.urgent = 0  # turns to come at every step, whatever they cost
        self._calm = 1 << 30  # turns since the last urgent ones
        self._turns = 0
        self._last = math.nan
        self._cost = self._step = math.nan

    def due(self) -> bool:
        self.left -= 1
        return self.left <= 0

    def done(self, seconds: float, now: float) -> None:
        """A turn took `seconds` and ended at `now` (CPU seconds of this thread)."""
        self._turns += 1
        self._cost = _drift(self._cost, seconds)
        if self._turns > 1:
            self._step = _drift(self._step, max(now - self._last - seconds, 1e-9) / self.every)
        self._last = now
        if self.urgent:
            self.urgent -= 1
            self.every = 1
        elif self._turns <= WARM_UP:
            self.every = 1
        else:
            self.every = max(1, min(self.rarest, math.ceil(self._cost / (self._step * self.share) - 0.1)))
        self._calm += 1
        self.left = self.every

    def hurry(self, turns: int) -> None:
        """Something looks suspicious: a turn at each of the next steps, unless there was such a time just before."""
        if self._calm > 5 * turns and self.every > 1:
            self.urgent, self.left, self._calm = turns, 1, -turns

    @property
    def always(self) -> bool:
        return self.every == 1


def _drift(mean: float, value: float) -> float:
    """A running mean; of a value ten times as large only a part, since it was something else."""
    return value if math.isnan(mean) else mean + 0.2 * (min(value, 10.0 * mean) - mean)


class Level:
    """Where a series has been lately, and how much it moves: tells a jump from its usual noise.

    Values between `low` and `high` are only worth being kept (`waiting`); `take` makes them part of the level when
    there are `BATCH` of them, or when one is outside.
    """

    __slots__ = ("mean", "spread", "seen", "low", "high", "waiting")

    JUMP = 8.0  # times the usual deviation; mean absolute deviation of a normal distribution is 0.8 sigma
    FAR = 4.0  # the same, upwards: worth a closer look
    BATCH = 64

    def __init__(self) -> None:
        self.mean = self.spread = 0.0
        self.seen = 0
        self.low, self.high = math.inf, -math.inf
        self.waiting: list[float] = []

    def take(self, value: float) -> tuple[bool, bool]:
        """(it jumps, it is far above) for the newest value; it becomes part of the level if it is finite."""
        for earlier in self.waiting:
            self._add(earlier)
        self.waiting.clear()
        off = value - self.mean
        known = self.seen >= 10
        jumps = not abs(off) < math.inf or known and abs(off) > self.JUMP * self.spread
        far = jumps or known and off > self.FAR * self.spread
        self._add(value)
        return jumps, far

    def _add(self, value: float) -> None:
        off = value - self.mean
        if not abs(off) < math.inf:
            return
        self.seen += 1
        weight = 0.1 if self.seen > 10 else 1.0 / self.seen
        self.mean += weight * off
        self.spread += weight * (abs(off) - self.spread)
        if self.seen >= 10:
            self.low, self.high = self.mean - self.JUMP * self.spread, self.mean + self.FAR * self.spread
