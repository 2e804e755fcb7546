"""Finite, but wrong: where the value in the dtype under test has nothing to do with the value in float64.

All accuracy is lost when the error is more than half of the exact value, and both are more than sqrt(eps) in absolute
terms (a value of 1e-9 beside numbers of order 1 is a zero for all purposes), or the error is `COARSE`. A gradient has
to be lost as a whole: the norm of the error is more than half of its norm. And it is only a fault of the formula if the
problem is well posed: the inputs are moved by one unit in the last place, in float64, and an error that such a change
explains (times `ROUNDINGS`, for rounding happens at every op) is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from whynan.case.facts import Site
from whynan.diagnose.measurements.shadow import Shadow
from whynan.preflight.fuzz.edges import faint
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Prober, Values
from whynan.preflight.fuzz.shrink import cut
from whynan.replay.scope import Scope
from whynan.replay.trace import OpRecord
from whynan.watch.userfiles import is_user_file

LOST = 0.5
COARSE = 0.3
"""An error that matters even where the exact value is nothing beside 1."""
ROUNDINGS = 64.0
PERTURBATIONS = 4


@dataclass(frozen=True)
class Loss:
    """One element that is wrong: what came out, what is right, and what a last digit of the inputs would change."""

    plan: Plan
    values: Values
    gradient_of: str | None  # None: the value itself
    got: float
    exact: float
    moved: float
    site: Site | None = None
    op: str | None = None

    @property
    def relative(self) -> float:
        return abs(self.got - self.exact) / max(abs(self.exact), 1e-300)


class Accuracy:
    def __init__(self, prober: Prober) -> None:
        self.prober = prober
        self.wide = prober.in_dtype(torch.float64)
        self.least = math.sqrt(torch.finfo(prober.dtype).eps)

    def loss(self, plan: Plan, values: Values) -> Loss | None:
        """The worst element of the value, else of a gradient; None when nothing is lost."""
        if any(isinstance(v, Tensor) and v.is_floating_point() and bool(faint(v).any()) for v in values):
            return None  # squares of these underflow in any formula
        here, there = _results(self.prober, plan, values), _results(self.wide, plan, _wider(values))
        if here is None or there is None or list(here) != list(there):
            return None
        for name, got in here.items():
            exact = there[name]
            if got.is_complex() or got.shape != exact.shape or not got.numel():
                continue
            suspect = self._suspect(got.double(), exact, self.prober.dtype, whole=name[0] == "gradient")
            if not bool(suspect.any()):
                continue
            moved = self._moved(plan, values, name, exact)
            error = (got.double() - exact).abs()
            if moved is None or not bool((suspect & (error > ROUNDINGS * moved)).any()):
                continue
            at = int((error * (suspect & (error > ROUNDINGS * moved))).reshape(-1).argmax())
            a, b, c = (float(t.reshape(-1)[at]) for t in (got.double(), exact, moved))
            return Loss(plan, values, name[1] if name[0] == "gradient" else None, a, b, c)
        return None

    def _suspect(self, got: Tensor, exact: Tensor, dtype: torch.dtype, whole: bool = False) -> Tensor:
        """Elements that are lost; those of a gradient only if the gradient as a whole has lost its direction."""
        error = (got - exact).abs()
        held = exact.abs() < torch.finfo(dtype).max
        if whole:
            lost = bool(error.norm() > LOST * exact.norm())
            return (error > LOST * exact.abs()) & (exact.abs() > self.least) & held & lost
        counts = (exact.abs() > self.least) | (error > COARSE)
        return (error > LOST * exact.abs()) & (error > self.least) & counts & held

    def _moved(self, plan: Plan, values: Values, name: tuple[str, str], exact: Tensor) -> Tensor | None:
        """The largest change of the exact result when inputs move by one unit in the last place; None: unknown."""
        generator = torch.Generator().manual_seed(5)
        info = torch.finfo(self.prober.dtype)
        most = torch.zeros_like(exact)
        for _ in range(PERTURBATIONS):
            near = []
            for value in _wider(values):
                if isinstance(value, Tensor) and value.is_floating_point():
                    sign = torch.randint(0, 2, value.shape, generator=generator).double() * 2 - 1
                    value = value + value.abs().clamp_min(info.tiny) * info.eps * sign
                near.append(value)
            there = _results(self.wide, plan, tuple(near))
            if there is None or name not in there or there[name].shape != exact.shape:
                return None
            most = torch.maximum(most, (there[name] - exact).abs())
        return most.max().expand_as(most) if name[0] == "gradient" else most

    def smaller(self, loss: Loss) -> Loss:
        """The same place with fewer rows and columns."""
        letters = sorted({d for s in loss.plan.slots for d in s.dims if isinstance(d, str)} - loss.plan.fixed)
        for letter in letters:
            low = max(1, loss.plan.spans.get(letter, (1, 0))[0])
            for size, last in ((n, last) for n in range(low, loss.plan.sizes[letter]) for last in (False, True)):
                found = self.loss(*cut(loss.plan, loss.values, letter, size, last))
                if found is not None and found.gradient_of == loss.gradient_of:
                    loss = found
                    break
        return loss

    def located(self, loss: Loss) -> Loss:
        """With the first op whose result is lost: its float64 shadow says another thing."""
        own = self.prober.target.file
        with Scope(is_user_file=lambda f: is_user_file(f) or f == own, keep_bytes=64 << 20) as scope:
            arguments, leaves = self.prober.leaves(loss.plan, loss.values)
            outputs = self.prober.forward(loss.plan, arguments)
            if loss.gradient_of is not None:
                roots = [t for t in outputs if t.requires_grad]
                torch.autograd.grad(roots, list(leaves.values()), [slanted(t) for t in roots], allow_unused=True)
        shadow = Shadow(torch.float64)
        for record in scope.trace.records:
            if record.site is not None and self._lost(shadow, record):
                return Loss(loss.plan, loss.values, loss.gradient_of, loss.got, loss.exact, loss.moved,
                            record.site, record.op)  # fmt: skip
        return loss

    def _lost(self, shadow: Shadow, record: OpRecord) -> bool:
        for ref in record.outputs:
            got, exact = ref.value, shadow.value(ref) if ref.area.floating else None
            if got is None or exact is None or got.is_complex() or got.shape != exact.shape or not got.numel():
                continue
            if bool(self._suspect(got.double(), exact.double(), ref.dtype).any()):
                return True
        return False


def slanted(tensor: Tensor) -> Tensor:
    """An upstream gradient from 1 to 2. All ones would ask for the gradient of a sum, which is 0 behind a
    normalisation, and an error has no size beside 0."""
    return torch.linspace(1, 2, tensor.numel(), dtype=torch.float64).reshape(tensor.shape).to(tensor.dtype)


def _results(prober: Prober, plan: Plan, values: Values) -> dict[tuple[str, str], Tensor] | None:
    """Values and gradients by ("value", number) and ("gradient", name); None where they are not all finite."""
    try:
        arguments, leaves = prober.leaves(plan, values)
        outputs = prober.forward(plan, arguments)
        found = {("value", str(i)): t.detach() for i, t in enumerate(outputs)}
        roots = [t for t in outputs if t.requires_grad]
        if prober.gradient and roots and leaves:
            given = torch.autograd.grad(roots, list(leaves.values()), [slanted(t) for t in roots], allow_unused=True)
            found |= {("gradient", n): g for n, g in zip(leaves, given) if g is not None}
    except Exception:
        return None
    return found if all(bool(torch.isfinite(t).all()) for t in found.values()) else None


def _wider(values: Values) -> Values:
    return tuple(v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for v in values)
