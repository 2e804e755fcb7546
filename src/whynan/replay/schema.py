"""What an operator's schema says, read once per operator: names, what it writes, what it merely looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

ALLOCATORS = frozenset(
    "empty empty_like empty_strided empty_permuted empty_quantized new_empty new_empty_strided resize_ resize "
    "_resize_output _resize_output_ _empty_affine_quantized".split()
)
"""Ops whose result is whatever was in memory: never a birth, until somebody reads it before writing it."""

OVERWRITERS = frozenset(
    "copy_ fill_ zero_ normal_ uniform_ random_ exponential_ geometric_ log_normal_ cauchy_ bernoulli_ "
    "_foreach_copy_ _foreach_zero_".split()
)
"""In-place ops whose result does not depend on what the written tensor held before."""

REBINDERS = frozenset({"set_"})
"""Ops that point a tensor at other memory and write none, whatever the schema says."""

CONSTANTS = frozenset("full full_like new_full fill_ fill scalar_tensor lift_fresh lift_fresh_copy".split())
"""Ops that put a value from Python into a tensor."""

UNDECLARED = frozenset("native_batch_norm cudnn_batch_norm miopen_batch_norm batch_norm_gather_stats".split())
"""Ops that write running_mean and running_var when training, though their schema does not say so."""


@dataclass(frozen=True, slots=True)
class Plan:
    op: str  # "aten::log"
    base: str  # "log"
    names: tuple[str, ...]
    written: frozenset[str]  # arguments the op writes
    running: bool  # writes running_mean and running_var without saying so (native_batch_norm)
    results: tuple[str, ...]
    fresh: tuple[bool, ...]  # per result: new memory, neither a view nor a written argument
    allocates: bool
    overwrites: bool
    constant: bool
    random: bool
    view: bool
    pointwise: bool


_plans: dict[Any, Plan] = {}


def plan_of(func: Any) -> Plan:
    found = _plans.get(func)
    if found is None:
        found = _plans[func] = _read(func)
    return found


def _read(func: Any) -> Plan:
    schema = func._schema
    op = schema.name
    base = op.rpartition("::")[2]
    names = tuple(a.name for a in schema.arguments)
    written = (
        frozenset()
        if base in REBINDERS
        else frozenset(a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write)
    )
    results = schema.returns
    return Plan(
        op=op,
        base=base,
        names=names,
        written=written,
        running=base in UNDECLARED,
        results=tuple(r.name or (f"result{i}" if len(results) > 1 else "result") for i, r in enumerate(results)),
        fresh=tuple(r.alias_info is None for r in results),
        allocates=base in ALLOCATORS,
        overwrites=base in OVERWRITERS or "out" in written,
        constant=base in CONSTANTS,
        random=torch.Tag.nondeterministic_seeded in func.tags,
        view=bool(func.is_view),
        pointwise=torch.Tag.pointwise in func.tags,
    )
