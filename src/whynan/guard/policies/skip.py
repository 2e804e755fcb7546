"""Hold back the update of a step whose loss or gradients are not finite.

The optimizer leaves all parameters, their momenta and its step count as they are; schedulers and the rest of the
program go on. GradScaler does the same for its own reasons, and its skips are not counted here.
"""

from __future__ import annotations

import math

from whynan.guard.policy import Policy, Update, policy


@policy("skip", order=0, wanted=lambda settings: settings.skip)
class Skip(Policy):
    def update(self, update: Update) -> None:
        if math.isfinite(update.norm):
            return
        update.held = self.journal.act("skip", update.step, f"update skipped: {update.why}")
