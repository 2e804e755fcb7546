"""The settings of the optimizers at the failing step, and what is wrong with them in their parameters' precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from whynan.diagnose.inquest import Inquest, measurement


@dataclass(frozen=True)
class Problem:
    """`code` is one of eps-zero, eps-rounds, beta-one, lr-nonfinite, lr-negative, weight-decay-negative, maximize,
    centered."""

    code: str
    optimizer: str
    words: str
    value: float


@dataclass(frozen=True)
class Optimizers:
    kinds: tuple[str, ...]
    problems: tuple[Problem, ...]
    lr: float | None  # largest finite one of the latest step

    def find(self, *codes: str) -> Problem | None:
        return next((p for p in self.problems if p.code in codes), None)


@measurement
def optimizers(inquest: Inquest) -> Optimizers | None:
    kinds: list[str] = []
    problems: list[Problem] = []
    rates: list[float] = []  # of the latest step
    for optimizer in inquest.optimizers:
        kind = type(optimizer).__name__
        kinds.append(kind)
        for group in optimizer.param_groups:
            problems += _problems(kind, group)
            rate = _number(group.get("lr"))
            if rate is not None and math.isfinite(rate):
                rates.append(rate)
    if inquest.history is not None:
        for step, _, values in inquest.history.lr:
            bad = next((v for v in values if not math.isfinite(v) or v < 0), None)
            problem = _rate(kinds[0] if kinds else "the optimizer", bad, step) if bad is not None else None
            if problem is not None and not any(p.code == problem.code for p in problems):
                problems.append(problem)
            rates = [v for v in values if math.isfinite(v)] or rates
    if not kinds and not problems:
        return None
    return Optimizers(tuple(kinds), tuple(problems), max(rates, default=None))


def _problems(kind: str, group: dict[str, Any]) -> Iterator[Problem]:
    rate = _number(group.get("lr"))
    if rate is not None and not math.isfinite(rate):
        yield _rate(kind, rate, None)
    eps = _number(group.get("eps"))
    if eps is not None and kind not in ("Adafactor",):
        dtypes = {p.dtype for p in group["params"] if p.is_floating_point()}
        if eps == 0:
            yield Problem("eps-zero", kind, f"{kind} was made with eps=0", eps)
        for dtype in dtypes & {torch.float16, torch.bfloat16}:
            if torch.tensor(eps, dtype=dtype).item() == 0:
                name = str(dtype).removeprefix("torch.")
                yield Problem(
                    "eps-rounds", kind, f"eps={eps:g} of {kind} is 0 in {name}, the precision of its parameters", eps
                )
    for beta in group.get("betas", ()) or (group["alpha"],) if "alpha" in group else group.get("betas", ()):
        value = _number(beta)
        if value is not None and not 0 <= value < 1:
            yield Problem("beta-one", kind, f"a beta of {kind} is {value:g}; it has to be below 1", value)
    decay = _number(group.get("weight_decay"))
    if decay is not None and decay < 0:
        yield Problem(
            "weight-decay-negative", kind, f"weight_decay of {kind} is {decay:g}: it makes weights grow", decay
        )
    if group.get("maximize"):
        yield Problem("maximize", kind, f"{kind} was made with maximize=True: it climbs the loss", 1.0)
    if group.get("centered"):
        yield Problem("centered", kind, f"{kind} is centered: E[g^2] - E[g]^2 can round to a negative number", 1.0)


def _rate(kind: str, value: float, step: int | None) -> Problem:
    when = f" in step {step}" if step is not None else ""
    if math.isfinite(value):
        return Problem("lr-negative", kind, f"the learning rate of {kind} went below 0{when}", value)
    return Problem("lr-nonfinite", kind, f"the learning rate of {kind} is {value}{when}", value)


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor):
        return float(value.item()) if value.numel() == 1 else None
    return float(value) if isinstance(value, (int, float)) else None
