"""Put back a healthy state from some iterations ago, and leave out what led to the failure.

A snapshot counts as healthy once the update after it was looked at and found finite. Without a change of the learning
rate all batches since then are dropped, because the same ones would lead to the same failure; with `rate` only the
failing one is, and the others are trained on again with the lower rate. A failure soon after goes back twice as far.
"""

from __future__ import annotations

from whynan.guard.policy import Failure, Policy, policy
from whynan.watch.goingon import Continue


@policy("rollback", order=3, wanted=lambda settings: settings.rollback)
class Rollback(Policy):
    factor = 1.0

    def failure(self, failure: Failure) -> Continue | None:
        index, healthy = failure.index, failure.healthy
        if failure.again >= self.settings.row:  # it fails at the same place whatever is done
            self.journal.give_up(self.name, failure.step)
            return None
        back = self.settings.rollback * 2**failure.again
        if not healthy:
            self.journal.cannot(self.name, failure.step, "no state of this loop was seen to be healthy")
            return None
        snapshot = next((s for s in reversed(healthy) if s.index <= index - back), healthy[0])
        lower = self.settings.rate < 1
        words = f"{index - snapshot.index} iterations back"
        words += f", learning rate times {self.factor * self.settings.rate:.3g}" if lower else ", their batches dropped"
        if not self.journal.act("rollback", failure.step, f"rolled {words}: {failure.what} not finite"):
            return None
        self.factor *= self.settings.rate
        dropped = {index} if lower else set(range(snapshot.index, index + 1))
        return Continue(snapshot=snapshot, drop=frozenset(dropped))

    def rate(self) -> float:
        return self.factor
