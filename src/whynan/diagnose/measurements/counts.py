"""Is the divisor of a division a count: an integer, a length, or the sum of a mask of zeros and ones?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch

from whynan.diagnose.inquest import Inquest, measurement
from whynan.diagnose.measurements.event import event
from whynan.replay.memory import writers

_WORDS = re.compile(r"\b\w*(count|num|n_|len|length|lens|size|mask|valid|total|denom|deg)\w*\b", re.IGNORECASE)


@dataclass(frozen=True)
class Divisor:
    """`whole`: one number for the whole batch; `is_count`: integer or a sum of zeros and ones; `words` say which."""

    whole: bool
    is_count: bool
    words: str


@measurement
def divisor_count(inquest: Inquest) -> Divisor | None:
    record, e = inquest.record, event(inquest)
    if e is None or e.base not in ("div", "true_divide", "reciprocal", "fmod", "remainder"):
        return None
    if record is None:
        found = _WORDS.search(e.text.rpartition("/")[2]) if "/" in e.text else None
        return Divisor(False, found is not None, f"`{found.group(0)}`" if found else "")
    ref = next((r for r in record.inputs if r.name == "other"), record.inputs[0] if e.base == "reciprocal" else None)
    if ref is None:
        scalar = e.scalars.get("other")
        return Divisor(True, True, "a Python number") if scalar == 0 else None
    whole = ref.shape.numel() == 1
    words = _counting(ref, 0)
    return Divisor(whole, words is not None, words or "")


def _counting(ref: Any, depth: int) -> str | None:
    """What makes `ref` a count, looking back through casts, views, clamps and sums."""
    if not ref.area.floating:
        return f"{str(ref.dtype).removeprefix('torch.')} values"
    made = writers(ref.area, ref.index)
    if not made or depth > 6:
        return "whole numbers that came with the batch" if not made and _whole_numbers(ref) else None
    record = made[0][0]
    base = record.plan.base
    if base in (
        "_to_copy",
        "clone",
        "copy_",
        "lift_fresh",
        "scalar_tensor",
        "stack",
        "cat",
        "index",
        "select",
        "view",
        "unsqueeze",
    ):
        inner = record.inputs[0] if record.inputs else None
        return (
            _counting(inner, depth + 1) if inner is not None else ("a Python number" if _whole_numbers(ref) else None)
        )
    if base in (
        "sum",
        "scatter_add",
        "scatter_add_",
        "index_add",
        "index_add_",
        "bincount",
        "count_nonzero",
        "cumsum",
        "mean",
    ):
        inner = next((r for r in record.inputs if r.name in ("self", "src", "source") and _zero_or_one(r)), None)
        return "the sum of a mask" if inner is not None else None
    return None


def _zero_or_one(ref: Any) -> bool:
    value = ref.value
    if value is None or ref.dtype is torch.bool:
        return value is not None
    return bool(((value == 0) | (value == 1)).all())


def _whole_numbers(ref: Any) -> bool:
    value = ref.value
    return value is not None and bool((value == value.round()).all())
