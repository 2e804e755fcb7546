"""Inquests of small functions, run once under the microscope: everything that needs no training loop."""

from __future__ import annotations

import torch

from whynan.case.facts import Cause
from whynan.diagnose import Inquest, assess_only
from whynan.replay.births import birth_from
from whynan.replay.scope import Scope


def inquest_of(step, *, at: int = 5, phase: str | None = None) -> Inquest:
    """The inquest for what `step()` returns: a tensor, or a list of tensors of which the first bad one is taken."""
    with Scope(is_user_file=lambda file: "/tests/" in file, phase=(lambda: phase) if phase else None) as scope:
        result = step()
    assert scope.trace.errors == []
    tensors = result if isinstance(result, (list, tuple)) else [result]
    findings = [scope.trace.births_reaching(t) for t in tensors]
    findings = [f for f in findings if f is not None and f.state != "finite"]
    finding = next((f for f in findings if f.birth is not None), findings[0])
    birth = birth_from(finding, scope.trace, at, at)
    return Inquest(birth=birth, step=at, iteration=at, finding=finding, trace=scope.trace, reproduced="bitwise")


def causes_of(step, **options) -> tuple[Cause, ...]:
    return assess_only(inquest_of(step, **options)).causes


def first(step, **options) -> str:
    """The finer name of the first cause."""
    name = causes_of(step, **options)[0].name
    assert name is not None
    return name


def gradient_of(function, *values, dtype=torch.float32):
    """The gradients of `function(*leaves).sum()`, as a step to be watched."""

    def step():
        leaves = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in values]
        function(*leaves).sum().backward()
        return [leaf.grad for leaf in leaves if leaf.grad is not None]

    return step
