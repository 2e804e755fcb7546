"""What the function is given: for every argument its kind, its shape in letters, and the range of its values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from whynan.preflight.fuzz.inputs import Input, Kind

MODERATE = 100.0
"""Largest absolute value that a search tries where no range was said: what a network gives after training."""


@dataclass(frozen=True)
class Domain:
    """A range of values, with a name for messages. `values` is a finite set; `family` a structure of whole rows."""

    name: str
    low: float = -MODERATE
    high: float = MODERATE
    open_low: bool = False
    open_high: bool = False
    values: tuple[float, ...] = ()
    family: str | None = None

    def __str__(self) -> str:
        if self.values:
            return "{" + ", ".join(f"{v:g}" for v in self.values) + "}"
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}" + (f" ({self.family})" if self.family else "")


@dataclass(frozen=True)
class Slot:
    """One argument. `dims` are letters (sizes of the plan) or fixed numbers; `stated` if the user said the range."""

    name: str
    kind: Kind
    dims: tuple[str | int, ...] = ()
    domain: Domain = field(default_factory=lambda: Domain("real"))
    grad: bool = True
    stated: bool = False
    dtype: str | None = None
    constant: Any = None
    keyword: bool = False

    @property
    def floating(self) -> bool:
        return self.kind == "float"


@dataclass(frozen=True)
class Plan:
    """All arguments, the sizes that their letters stand for, and which sizes each letter may take besides."""

    slots: tuple[Slot, ...]
    sizes: dict[str, int] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()  # letters that only stand for one size

    def shape(self, slot: Slot) -> tuple[int, ...]:
        return tuple(d if isinstance(d, int) else self.sizes[d] for d in slot.dims)

    def with_sizes(self, **sizes: int) -> Plan:
        return replace(self, sizes={**self.sizes, **sizes})

    def with_domains(self, domains: dict[str, Domain]) -> Plan:
        return replace(
            self, slots=tuple(replace(s, domain=domains[s.name]) if s.name in domains else s for s in self.slots)
        )

    @property
    def floats(self) -> tuple[Slot, ...]:
        return tuple(s for s in self.slots if s.floating)

    def describe(self) -> str:
        """The arguments in the notation of --input, for messages."""
        return ", ".join(self._word(s) for s in self.slots)

    def _word(self, slot: Slot) -> str:
        if slot.kind == "constant":
            return f"{slot.name}={slot.constant!r}"
        shape = ",".join(map(str, self.shape(slot)))
        kind = slot.dtype or ("float" if slot.floating else {"int": "int64", "bool": "bool"}[slot.kind])
        within = "" if slot.kind == "bool" else f" in {slot.domain}"
        return f"{slot.name}={kind}[{shape}]{within}"


def domain_of(spec: Input) -> Domain | None:
    """The range that a specification states; None where it states none. Infinite bounds become those of float64."""
    if not spec.stated:
        return None
    assert spec.low is not None and spec.high is not None
    most = 1.7976931348623157e308
    low, high = max(spec.low, -most), min(spec.high, most)
    return Domain("stated", low, high, spec.open_low, spec.open_high, spec.values, spec.family)


def nudged(domain: Domain, eps: float) -> tuple[float, float]:
    """The closed range inside a domain: open ends are moved in by one relative eps (and by 1e-6 from zero)."""
    low, high = domain.low, domain.high
    if domain.open_low:
        low = 1e-6 if low == 0 else low + abs(low) * eps
    if domain.open_high:
        high = -1e-6 if high == 0 else high - abs(high) * eps
    return (low, high) if low <= high else (math.nextafter(domain.low, domain.high), domain.high)
