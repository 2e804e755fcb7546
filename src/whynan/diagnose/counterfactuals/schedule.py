"""The learning rate warmed up over the first hundred steps."""

from __future__ import annotations

import contextlib
from typing import Any

from whynan.diagnose.counterfactuals.base import experiment, has_optimizers, snapshot_for, with_options
from whynan.diagnose.inquest import Inquest
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot

WARMUP = 100  # steps, as in the patch


def _from_the_first_step(inquest: Inquest) -> bool:
    return has_optimizers(inquest) and snapshot_for(inquest, "first") is not None


@experiment("warmup", "with the learning rate warmed up over 100 steps", start="first", applies=_from_the_first_step)
def warmed_up(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def around(index: int) -> contextlib.AbstractContextManager[None]:
        share = min(1.0, (index + 1) / WARMUP)

        def change(group: dict[str, Any]) -> None:
            if "lr" in group:
                group["lr"] = group["lr"] * share

        return with_options(inquest, change)

    return Attempt(snapshot=snapshot, until=until, around=around)
