"""Evaluate a recorded op again, from the values it had then: in another precision, or with other values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from whynan.replay.trace import OpRecord, TensorRef

_CASTS = frozenset({"_to_copy", "convert_element_type", "to"})


class NotRepeatable(Exception):
    """The op cannot be evaluated again: it draws random numbers, talks to others, or its values were not kept."""


def reevaluate(
    record: OpRecord, dtype: torch.dtype | None = torch.float64, values: Mapping[TensorRef, torch.Tensor] | None = None
) -> list[torch.Tensor]:
    """The outputs of `record.func`, in the order of `record.outputs`, computed again without touching anything.

    Floating inputs are cast to `dtype` (complex ones to the complex type of that precision); None keeps them. `values`
    replaces the values of single inputs. A cast keeps its own target dtype, for that is what the op does. Raises
    NotRepeatable for an op that would consume random numbers or whose inputs were not kept, and whatever the op
    raises, e.g. when it has no kernel for `dtype`.
    """
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        return call(record, lambda ref: _operand(ref, dtype, values), dtype)


def call(
    record: OpRecord, operand: Callable[[TensorRef], torch.Tensor], dtype: torch.dtype | None
) -> list[torch.Tensor]:
    """Call the op with `operand(ref)` in the place of each recorded tensor. Written arguments must be fresh copies."""
    plan = record.plan
    if not repeatable(record):
        raise NotRepeatable(plan.op)
    made: dict[str, Any] = {}

    def build(value: Any) -> Any:
        if isinstance(value, TensorRef):
            made[value.name] = operand(value)
            return made[value.name]
        return [build(v) for v in value] if isinstance(value, list) else value

    args = [build(a) for a in record.args]
    kwargs = {k: build(v) for k, v in record.kwargs.items()}
    asked = kwargs.get("dtype")
    if dtype is not None and isinstance(asked, torch.dtype) and plan.base not in _CASTS:
        kwargs["dtype"] = wider(asked, dtype)
    result = record.func(*args, **kwargs)
    parts = list(result) if isinstance(result, (list, tuple)) else [result]
    if plan.written:  # a result that is a written argument is listed with those
        parts = [p for p, fresh in zip(parts, plan.fresh) if fresh]
    written = [made[ref.name] for ref in record.outputs if ref.name in made]
    return [t for part in parts for t in _tensors(part)] + written


def repeatable(record: OpRecord) -> bool:
    """The op draws no random numbers, talks to nobody, and is not a view or an allocation."""
    plan = record.plan
    if plan.allocates or plan.op.partition("::")[0] in ("c10d", "_c10d_functional", "fsdp", "profiler"):
        return False
    return not plan.random or _no_dropout(record)


def _no_dropout(record: OpRecord) -> bool:
    """Attention is tagged as random for its dropout only."""
    given = dict(zip(record.plan.names, record.args)) | record.kwargs
    return "attention" in record.plan.base and given.get("dropout_p", 0.0) == 0.0


def wider(asked: torch.dtype, dtype: torch.dtype) -> torch.dtype:
    if asked.is_complex:
        return torch.complex128 if dtype is torch.float64 else torch.complex64
    return dtype if asked.is_floating_point else asked


def _operand(
    ref: TensorRef, dtype: torch.dtype | None, values: Mapping[TensorRef, torch.Tensor] | None
) -> torch.Tensor:
    value = values.get(ref) if values else None
    value = ref.value if value is None else value
    if value is None:
        raise NotRepeatable(f"the values of {ref.name} were not kept")
    copy = value.detach().clone()
    return copy if dtype is None else copy.to(wider(copy.dtype, dtype))


def _tensors(part: Any) -> list[torch.Tensor]:
    if isinstance(part, torch.Tensor):
        return [part]
    return [t for t in part if isinstance(t, torch.Tensor)] if isinstance(part, (list, tuple)) else []
