"""A larger eps in the optimizer; betas below 1; gradients cleared after every step."""

from __future__ import annotations

from typing import Any

import torch

from whynan.diagnose.counterfactuals.base import around_steps, experiment, has_optimizers, with_options
from whynan.diagnose.inquest import Inquest
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot


def _has_eps(inquest: Inquest) -> bool:
    return any("eps" in group for o in inquest.optimizers for group in o.param_groups)


@experiment("opt-eps", "with a larger eps in the optimizer", applies=_has_eps)
def raised_eps(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def change(group: dict[str, Any]) -> None:
        half = any(p.dtype in (torch.float16, torch.bfloat16) for p in group["params"])
        # in float16 the gradient of 1/(x+eps) needs eps >= 4e-3 (MEASUREMENTS 3.2)
        group["eps"] = max(float(group.get("eps") or 0.0), 4e-3 if half else 1e-8)

    return Attempt(snapshot=snapshot, until=until, around=lambda index: with_options(inquest, change))


def _has_betas(inquest: Inquest) -> bool:
    return any("betas" in group or "alpha" in group for o in inquest.optimizers for group in o.param_groups)


@experiment("betas", "with the optimizer's betas kept below 1", applies=_has_betas)
def capped_betas(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def change(group: dict[str, Any]) -> None:
        if "betas" in group:
            group["betas"] = tuple(min(float(b), 0.9999) for b in group["betas"])
        if "alpha" in group:
            group["alpha"] = min(float(group["alpha"]), 0.9999)

    return Attempt(snapshot=snapshot, until=until, around=lambda index: with_options(inquest, change))


@experiment("zero-grad", "with gradients cleared after each step", start="early", applies=has_optimizers)
def cleared_gradients(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def after(optimizer: Any) -> None:
        optimizer.zero_grad(set_to_none=True)

    def prepare() -> None:
        for optimizer in inquest.optimizers:
            optimizer.zero_grad(set_to_none=True)

    return Attempt(
        snapshot=snapshot, until=until, around=lambda index: around_steps(inquest, after=after), prepare=prepare
    )


def _maximizes(inquest: Inquest) -> bool:
    return any(g.get("maximize") for o in inquest.optimizers for g in o.param_groups)


@experiment("minimize", "with the optimizer minimising the loss", start="early", applies=_maximizes)
def minimized(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def change(group: dict[str, Any]) -> None:
        group["maximize"] = False

    return Attempt(snapshot=snapshot, until=until, around=lambda index: with_options(inquest, change))


def _decays_negatively(inquest: Inquest) -> bool:
    return any(float(g.get("weight_decay", 0.0) or 0.0) < 0 for o in inquest.optimizers for g in o.param_groups)


@experiment("weight-decay", "with the sign of weight_decay turned", start="early", applies=_decays_negatively)
def turned_decay(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def change(group: dict[str, Any]) -> None:
        group["weight_decay"] = abs(float(group.get("weight_decay", 0.0) or 0.0))

    return Attempt(snapshot=snapshot, until=until, around=lambda index: with_options(inquest, change))
