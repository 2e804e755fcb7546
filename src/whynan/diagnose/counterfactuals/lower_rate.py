"""Another learning rate from an earlier iteration on: a tenth, the last finite one, none below 0."""

from __future__ import annotations

import math
from typing import Any

from whynan.diagnose.counterfactuals.base import experiment, has_optimizers, with_options
from whynan.diagnose.inquest import Inquest
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot


@experiment("lr/10", "with a tenth of the learning rate", start="early", applies=has_optimizers)
def lower_rate(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def change(group: dict[str, Any]) -> None:
        if "lr" in group:
            group["lr"] = group["lr"] * 0.1

    return Attempt(snapshot=snapshot, until=until, around=lambda index: with_options(inquest, change))


def _rate_went_bad(inquest: Inquest) -> bool:
    history = inquest.history
    return (
        has_optimizers(inquest)
        and history is not None
        and any(not math.isfinite(v) for _, _, values in history.lr for v in values)
    )


@experiment("finite-lr", "with the last finite learning rate in place of a non-finite one", applies=_rate_went_bad)
def finite_rate(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    assert inquest.history is not None
    good = [v for _, _, values in inquest.history.lr for v in values if math.isfinite(v)]

    def change(group: dict[str, Any]) -> None:
        if not math.isfinite(float(group.get("lr", 0.0))):
            group["lr"] = good[-1] if good else 0.0

    return Attempt(snapshot=snapshot, until=until, around=lambda index: with_options(inquest, change))


def _rate_went_negative(inquest: Inquest) -> bool:
    history = inquest.history
    return has_optimizers(inquest) and history is not None and any(v < 0 for _, _, values in history.lr for v in values)


@experiment("positive-lr", "with the learning rate kept from going below 0", start="early", applies=_rate_went_negative)
def positive_rate(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def change(group: dict[str, Any]) -> None:
        if "lr" in group:
            group["lr"] = max(group["lr"], 0.0)

    return Attempt(snapshot=snapshot, until=until, around=lambda index: with_options(inquest, change))
