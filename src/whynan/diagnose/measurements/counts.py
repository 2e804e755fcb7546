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
        return Divisor(True, e.base == "div", "a Python number") if scalar == 0 else None
    whole = ref.shape.numel() == 1
    words = _counting(ref, 0)
    return Divisor(whole, words is not None, words or "")


def _counting(ref: Any, depth: int) -> str | None:
    """What makes `ref` a count, looking back through casts, views, clamps and sums."""
    if not ref.area.floating:
        return f"{str(ref.dtype).removeprefix('torch.')} values"
    made = writers(ref.area, ref.index)
    if not made or depth > 6:
        came = not made and ref.shape.numel() > 1 and _whole_numbers(ref)
        return "whole numbers that came with the batch" if came else None
    record = made[0][0]
    base = record.plan.base.rstrip("_")
    if base in PASSING:
        inner = record.inputs[0] if record.inputs else None
        return _counting(inner, depth + 1) if inner is not None else None
    if base in GROUPING:
        source = next((r for r in record.inputs if r.name in ("self", "src", "source") and _is_mask(r, 0)), None)
        return "members counted group by group" if source is not None else None
    if base in ("sum", "mean", "cumsum", "count_nonzero"):
        return "the sum of a mask" if _is_mask(record.inputs[0], 0) else None
    return None


PASSING = frozenset({"_to_copy", "clone", "copy", "stack", "cat", "index", "select", "view", "unsqueeze", "squeeze"})
GROUPING = frozenset({"scatter_add", "index_add", "bincount", "scatter_reduce"})
MASKING = frozenset(
    "_to_copy eq ne gt lt ge le logical_and logical_or logical_not bitwise_and bitwise_or bitwise_not one_hot scatter "
    "ones_like ones zeros full new_ones fill zero clone copy index select mul masked_fill lift_fresh arange".split()
)


def _is_mask(ref: Any, depth: int) -> bool:
    """Zeros and ones that were meant as such: compared, cast from booleans, or brought along."""
    value = ref.value
    if value is None or not bool(((value == 0) | (value == 1)).all()):
        return False
    made = writers(ref.area, ref.index)
    if not made or ref.dtype is torch.bool or depth > 6:
        return True
    record = made[0][0]
    if record.plan.base.rstrip("_") not in MASKING:
        return False
    return all(_is_mask(r, depth + 1) for r in record.inputs[:1]) if record.plan.base == "mul" else True


def _whole_numbers(ref: Any) -> bool:
    value = ref.value
    return value is not None and bool((value == value.round()).all())
