"""Gradients clipped to a norm of 1 right before every step."""

from __future__ import annotations

from whynan.diagnose.counterfactuals.base import around_steps, clip, experiment, has_optimizers
from whynan.diagnose.inquest import Inquest
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot


@experiment("clip", "with gradients clipped to norm 1 before each step", start="early", applies=has_optimizers)
def clip_gradients(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def before(optimizer: object) -> None:
        clip([p for group in optimizer.param_groups for p in group["params"]])  # type: ignore[attr-defined]

    return Attempt(snapshot=snapshot, until=until, around=lambda index: around_steps(inquest, before))
