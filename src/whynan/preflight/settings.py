"""Optimizer settings against the dtype of the parameters: what rounds to zero, what cannot converge.

Adam divides by sqrt(v) + eps (Kingma and Ba 2015, algorithm 1): an eps that is 0, or that rounds to 0 in the dtype of
the state, leaves 0/0 for a parameter whose gradient was always 0. beta2 of 1 or more makes the bias correction
1 - beta2**t zero or negative. Learning rates are only called unusual where they are ten times beyond what published
recipes use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from whynan.case.preflight import Problem, Severity

USUAL = {"Adam": 1e-2, "AdamW": 1e-2, "NAdam": 1e-2, "RAdam": 1e-2, "Adamax": 2e-2, "RMSprop": 1e-2, "SGD": 1.0,
         "Adagrad": 0.1, "Adadelta": 10.0}  # fmt: skip
"""The largest learning rates in common use."""


@dataclass(frozen=True)
class Looked:
    """The options as they are now, for the table, and what is wrong with them."""

    shown: dict[str, str]
    problems: tuple[Problem, ...]


def look(optimizers: Iterable[torch.optim.Optimizer]) -> Looked:
    """Look at the options of these optimizers."""
    optimizers = list(optimizers)
    return Looked(settings(optimizers), tuple(problems(optimizers)))


def settings(optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, str]:
    """What was looked at, for the table."""
    shown = {}
    for i, optimizer in enumerate(optimizers):
        for j, group in enumerate(optimizer.param_groups):
            options = ", ".join(f"{k}={v}" for k, v in group.items() if k in ("lr", "betas", "eps", "weight_decay"))
            dtypes = ", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in group["params"]}))
            shown[f"{type(optimizer).__name__} {i}, group {j}"] = f"{options}; parameters {dtypes}"
    return shown


def problems(optimizers: Iterable[torch.optim.Optimizer]) -> list[Problem]:
    """What is wrong with the options of these optimizers."""
    found = []
    for optimizer in optimizers:
        for j, group in enumerate(optimizer.param_groups):
            found += list(_group(type(optimizer).__name__, j, group))
    return found


def _group(name: str, j: int, group: dict[str, Any]) -> Iterator[Problem]:
    where = f"{name}, param_groups[{j}]"
    narrowest = min((p.dtype for p in group["params"] if p.is_floating_point()), key=_smallest, default=None)
    eps = group.get("eps")
    if isinstance(eps, (int, float)) and name not in ("LBFGS",):
        if eps == 0:
            enough = "eps=1e-8" if narrowest is None or not _rounds_to_0(1e-8, narrowest) else "eps=1e-4"
            yield _problem("eps-zero", "error", where, "eps is 0: a parameter whose gradient is always 0 gets 0/0",
                           "eps=0", ("optimizer-eps-zero",), enough)  # fmt: skip
        elif narrowest is not None and _rounds_to_0(eps, narrowest):
            kind = str(narrowest).removeprefix("torch.")
            yield _problem("eps-vanishes", "error", where, f"eps rounds to 0 in {kind}", f"eps={eps:g}",
                           ("optimizer-eps-in-half",), "eps=1e-4  # or keep parameters in float32")  # fmt: skip
    for beta in group.get("betas", ()) or ():
        value = float(beta)
        if not 0 <= value < 1:
            yield _problem("beta-out-of-range", "error", where, "a beta of 1 or more makes the bias correction 0",
                           f"betas={group['betas']}", ("optimizer-betas",), "betas=(0.9, 0.999)")  # fmt: skip
    if (decay := float(group.get("weight_decay") or 0.0)) < 0:
        yield _problem("negative-weight-decay", "error", where, "a negative weight decay makes weights grow for ever",
                       f"weight_decay={decay:g}", ("negative-weight-decay",), "weight_decay=0.01")  # fmt: skip
    rate = float(group.get("lr", 0.0))
    if rate != rate or rate in (float("inf"), -float("inf")):
        yield _problem("nonfinite-rate", "error", where, "the learning rate is not a number", f"lr={rate}",
                       ("schedule-nonfinite",), None)  # fmt: skip
    elif rate < 0:
        yield _problem("negative-rate", "error", where, "a negative learning rate climbs", f"lr={rate}",
                       ("maximizing-optimizer",), None)  # fmt: skip
    elif name in USUAL and rate > 10 * USUAL[name]:
        yield _problem("large-rate", "warning", where, f"unusually large for {name}", f"lr={rate:g}",
                       ("learning-rate-too-high",), f"lr={USUAL[name]:g}  # or less")  # fmt: skip
    if group.get("maximize"):
        yield _problem("maximizes", "warning", where, "the optimizer climbs: is that the intention?", "maximize=True",
                       ("maximizing-optimizer",), "maximize=False")  # fmt: skip


def _rounds_to_0(value: float, dtype: torch.dtype) -> bool:
    return torch.tensor(value, dtype=dtype).item() == 0


def _smallest(dtype: torch.dtype) -> float:
    """Order of dtypes by what they keep of a small number; the one that keeps least first."""
    return -torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps


def _problem(
    kind: str, severity: Severity, where: str, message: str, measured: str, causes: tuple[str, ...], remedy: str | None
) -> Problem:
    return Problem(part="settings", kind=kind, severity=severity, where=where, message=message, measured=measured,
                   causes=causes, remedy=remedy)  # fmt: skip
