"""Searches for tests: generous in time, for the machine that runs them may be busy; they end when all was tried."""

from __future__ import annotations

import inspect
import math
import time
from types import ModuleType
from typing import Any

import torch

from whynan.preflight.fuzz import FuzzReport, fuzz
from whynan.preflight.fuzz.hunt import Hunt
from whynan.preflight.fuzz.infer import infer
from whynan.preflight.fuzz.inputs import Input
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Prober, quiet
from whynan.preflight.fuzz.target import resolve

AMPLE = 120.0


def names(module: ModuleType) -> list[str]:
    """Functions and classes that a module defines."""
    own = [n for n, v in vars(module).items() if inspect.isfunction(v) or inspect.isclass(v)]
    return [n for n in own if getattr(module, n).__module__ == module.__name__]


def search(function: Any, **options: Any) -> FuzzReport:
    return fuzz(function, **{"seconds": AMPLE, **options})


def plans_of(function: Any, dtype: torch.dtype = torch.float32, **specs: str) -> list[Plan]:
    target = resolve(function)
    with quiet():
        prober = Prober(target, dtype)
        return infer(target, prober, {n: Input.parse(s, n) for n, s in specs.items()}, None, {})


def hunt_for(function: Any, dtype: torch.dtype = torch.float32) -> tuple[Hunt, list[Plan]]:
    target = resolve(function)
    prober = Prober(target, dtype)
    return Hunt(prober, time.monotonic() + AMPLE), infer(target, prober, {}, None, {})


def broken_by(function: Any, literals: list[str], what: str) -> bool:
    """Does the input of a finding, made from its text, break the function without any help of ours?"""
    values = [eval(text, {"torch": torch, "inf": math.inf}) for text in literals]
    leaves = [v.requires_grad_() for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()]
    out = function(*values)
    if not bool(torch.isfinite(out).all()):
        return what == "value"
    given = torch.autograd.grad(out.sum(), leaves, allow_unused=True)
    return what == "gradient" and any(g is not None and not bool(torch.isfinite(g).all()) for g in given)
