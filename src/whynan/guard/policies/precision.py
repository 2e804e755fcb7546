"""Execute the iterations since the last healthy state again without autocast, and go on so for a while.

Only where the program uses autocast. Afterwards it is back; a failure meanwhile is none of this policy's business.
"""

from __future__ import annotations

import contextlib

from whynan.guard.autocast import Autocast
from whynan.guard.journal import Journal
from whynan.guard.policy import Failure, Policy, policy
from whynan.guard.settings import Settings
from whynan.watch.goingon import Continue


@policy("precision", order=2, wanted=lambda settings: settings.precision)
class Precision(Policy):
    def __init__(self, settings: Settings, journal: Journal) -> None:
        super().__init__(settings, journal)
        Autocast.install()

    def failure(self, failure: Failure) -> Continue | None:
        run = failure.run
        within = run.goingon is not None and run.goingon.plan.around is _full and run.goingon.active(run.index)
        known = failure.healthy or failure.snapshots
        if within or not known or not failure.autocast:
            return None
        snapshot, until = known[-1], failure.index + self.settings.precision
        back = failure.index - snapshot.index
        words = f"full precision from {back} iterations back to {self.settings.precision} ahead"
        if not self.journal.act("precision", failure.step, f"{words}: {failure.what} not finite"):
            return None
        return Continue(snapshot=snapshot, around=_full, until=until)


def _full(index: int) -> contextlib.AbstractContextManager[None]:
    return Autocast.off()
