"""When early warnings judge what is new: rarely enough to keep to their share of the time, at once where it matters."""

from __future__ import annotations

import math

from whynan.watch.budget import WARM_UP, WARNINGS

PATIENCE = 512  # steps between two turns at most, and in the beginning four and an eighth of the steps so far
URGENT = 8  # turns in a row, one a step, when loss or gradients leave their level
URGENT_SHARE = 0.005  # of the time, for all of these: a noisy loss leaves its level again and again


class Rest:
    """Until which step (`over`) nothing is judged. Times are CPU seconds of this thread."""

    def __init__(self) -> None:
        self.over = 0
        self._turns = self._step = self._urgent = 0
        self._cost = self._last = math.nan
        self._hurried = -math.inf

    def done(self, seconds: float, began: float, step: int) -> None:
        """A turn that took `seconds` began at `began`, when `step` steps were made."""
        self._turns += 1
        a_step = (began - self._last) / max(1, step - self._step)
        self._cost = seconds if math.isnan(self._cost) else self._cost + 0.2 * (seconds - self._cost)
        self._last, self._step = began, step
        if self._urgent > 0:
            self._urgent -= 1
        known = self._turns > WARM_UP and not self._urgent
        wanted = math.ceil(self._cost / max(WARNINGS * a_step, 1e-12)) if known else 1
        self.over = step + max(1, min(wanted, PATIENCE, 4 + step // 8))

    def hurry(self, now: float, step: int) -> None:
        """Something grows: a turn at each of the next steps, if there was no such time just before."""
        cost = 0.0 if math.isnan(self._cost) else self._cost
        if now - self._hurried > URGENT * cost / URGENT_SHARE:
            self._hurried, self._urgent, self.over = now, URGENT, step
