"""What the op of the birth was given, at the very elements that went wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whynan.case.facts import TensorFacts
from whynan.diagnose.inquest import Inquest, measurement
from whynan.tensors.look import real, unobserved

MOST = 1 << 16  # bad elements that are looked at


@dataclass(frozen=True)
class Operand:
    """One input. `low`, `high`, `small` (absolute), `large` (absolute) and `zeros` are over `count` finite elements:

    those that met the bad ones if `exact`, else all of them. `absmax` is over the whole tensor.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    numel: int
    count: int = 0
    low: float | None = None
    high: float | None = None
    small: float | None = None
    large: float | None = None
    zeros: int = 0
    absmax: float | None = None
    exact: bool = False
    placed: int = 0  # infinite elements among those looked at

    @property
    def all_zero(self) -> bool:
        return self.count > 0 and self.zeros == self.count

    @property
    def integer(self) -> bool:
        return not self.dtype.startswith(("float", "bfloat", "complex"))


@dataclass(frozen=True)
class Operands:
    """Of the op of the birth (`given`) and, in backward, of the forward op whose derivative it is (`forward`)."""

    given: tuple[Operand, ...]
    forward: tuple[Operand, ...] = ()
    bad: int = 0
    total: int = 0

    def of(self, *names: str) -> Operand | None:
        return next((o for n in names for o in self.given if o.name.partition("[")[0] == n), None)

    def argument(self) -> Operand | None:
        """The first floating operand."""
        return next((o for o in self.given if not o.integer), self.given[0] if self.given else None)

    def forward_argument(self) -> Operand | None:
        return next((o for o in self.forward if not o.integer), None)


@measurement
def operands(inquest: Inquest) -> Operands | None:
    record, birth = inquest.record, inquest.birth
    if record is None:
        return Operands(tuple(_from_facts(f) for f in birth.inputs)) if birth is not None and birth.inputs else None
    with torch.no_grad(), unobserved():
        masks = inquest.finding.outputs if inquest.finding is not None else {}
        output, mask = next(((record.outputs[i], m) for i, m in masks.items()), (None, None))
        if mask is None and record.outputs:
            output, mask = next(((r, r.area.mask()) for r in record.outputs if r.bad), (None, None))
        wanted = number_in(output.name) if output is not None else None
        given = [
            operand_at(ref, mask) for ref in record.inputs if wanted is None or number_in(ref.name) in (None, wanted)
        ]
        forward: list[Operand] = []
        if record.node is not None and record.forward is not None:
            forward = [operand_at(ref, mask) for ref in record.forward.inputs]
    total = int(mask.numel()) if mask is not None else 0
    return Operands(tuple(given), tuple(forward), int(mask.sum()) if mask is not None else 0, total)


def operand_at(ref: Any, mask: Tensor | None, value: Tensor | None = None) -> Operand:
    """Facts of `ref` (or of `value` in its place) at the elements of `mask`, where it can be broadcast to its shape."""
    value = ref.value if value is None else value
    head = (ref.name, str(ref.dtype).removeprefix("torch."), tuple(ref.shape), int(ref.shape.numel()))
    if value is None or value.numel() == 0:
        return Operand(*head)
    at, exact = picked(value, mask)
    whole = (
        _spread(real(value).reshape(-1))
        if value.is_floating_point() or value.is_complex()
        else _spread(value.reshape(-1))
    )
    low, high, small, large, zeros, n, infinite = _spread(at)
    return Operand(*head, n, low, high, small, large, zeros, whole[3], exact, infinite)


def picked(value: Tensor, mask: Tensor | None) -> tuple[Tensor, bool]:
    """The elements of `value` that met the elements of `mask`; all of it where shapes do not say which."""
    if mask is not None and bool(mask.any()):
        try:
            at = value.expand(mask.shape)[mask][:MOST]
            return real(at).reshape(-1), True
        except RuntimeError:
            pass
    return real(value).reshape(-1)[
        : MOST * 16
    ] if value.dtype.is_floating_point or value.is_complex() else value.reshape(-1), False


def number_in(name: str) -> int | None:
    """ "self[3]" -> 3: the place in the list of a _foreach_ op."""
    found = re.search(r"\[(\d+)\]$", name)
    return int(found.group(1)) if found else None


def _spread(values: Tensor) -> tuple[float | None, float | None, float | None, float | None, int, int, int]:
    numbers = values.double()
    finite = numbers[torch.isfinite(numbers)]
    infinite = int(torch.isinf(numbers).sum())
    if finite.numel() == 0:
        return None, None, None, None, 0, 0, infinite
    size = finite.abs()
    return (
        finite.min().item(), finite.max().item(), size.min().item(), size.max().item(),
        int((finite == 0).sum()), finite.numel(), infinite,
    )  # fmt: skip


def _from_facts(facts: TensorFacts) -> Operand:
    small = 0.0 if facts.zeros else facts.smallest_nonzero
    finite = facts.numel - facts.nonfinite
    return Operand(
        facts.name, facts.dtype, facts.shape, facts.numel, finite, facts.min, facts.max, small, facts.absmax,
        facts.zeros, facts.absmax, facts.numel == 1, facts.posinf + facts.neginf,
    )  # fmt: skip
