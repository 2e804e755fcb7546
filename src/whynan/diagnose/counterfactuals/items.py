"""Another batch at the failing iteration: the one before it, or the same one with its values mended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from whynan.diagnose.counterfactuals.base import experiment
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.batches import COMPARED, failing, tensors_of
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot


def changed(item: Any, place: str, change: Callable[[str, Tensor], Tensor], depth: int = 0) -> Any:
    """A copy of a nested batch with `change(place, tensor)` in the place of its floating tensors."""
    if isinstance(item, Tensor):
        return change(place, item) if item.is_floating_point() and item.numel() else item
    if depth > 6:
        return item
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return type(item)(*(changed(v, f"{place}[{i}]", change, depth + 1) for i, v in enumerate(item)))
    if isinstance(item, (list, tuple)):
        return type(item)(changed(v, f"{place}[{i}]", change, depth + 1) for i, v in enumerate(item))
    if type(item) is dict or isinstance(item, Mapping) and hasattr(item, "copy"):
        copy = item.copy()  # type: ignore[attr-defined]
        for key, value in item.items():
            copy[key] = changed(value, f"{place}[{key!r}]", change, depth + 1)
        return copy
    return item


def mended(inquest: Inquest, snapshot: Snapshot, until: int, change: Callable[[str, Tensor], Tensor]) -> Attempt:
    """An attempt whose batches, items and `next()` values alike, went through `change`."""
    recorder = inquest.recorder
    assert recorder is not None
    for taped in recorder.tape.values():
        if taped.nexts:
            original = taped.nexts
            inquest.cleanup.callback(setattr, taped, "nexts", original)
            taped.nexts = [(changed(v, str(i + 1), change), *rest) for i, (v, *rest) in enumerate(original)]
    return Attempt(snapshot=snapshot, until=until, replace_item=lambda index, item: changed(item, "0", change))


def has_batches(inquest: Inquest) -> bool:
    return inquest.repeatable and bool(tensors_of(inquest, failing(inquest)))


def has_predecessor(inquest: Inquest) -> bool:
    return inquest.recorder is not None and inquest.recorder.taped(failing(inquest) - 1) is not None


@experiment(
    "drop-batch", "with the batch of the iteration before in the place of the failing one", applies=has_predecessor
)
def previous_batch(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    """Item, `next()` values and random state of the iteration before: also for batches that are drawn in the body."""
    recorder, at = inquest.recorder, failing(inquest)
    assert recorder is not None
    before, now = recorder.taped(at - 1), recorder.taped(at)
    assert before is not None and now is not None
    if now.nexts:
        inquest.cleanup.callback(setattr, now, "nexts", now.nexts)
        now.nexts = list(before.nexts)

    def replace(index: int, item: Any) -> Any:
        if index != at:
            return item
        before.random.restore()
        return before.item

    return Attempt(snapshot=snapshot, until=until, replace_item=replace)


def _has_bad_items(inquest: Inquest) -> bool:
    return inquest.repeatable and any(
        not bool(torch.isfinite(t).all()) for t in tensors_of(inquest, failing(inquest)).values()
    )


@experiment("impute", "with the non-finite values of the batch replaced by column means", applies=_has_bad_items)
def imputed(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def change(place: str, tensor: Tensor) -> Tensor:
        good = torch.isfinite(tensor)
        if bool(good.all()):
            return tensor
        with torch.no_grad():
            values = torch.where(good, tensor, torch.zeros_like(tensor))
            count = good.sum(0, keepdim=True)
            mean = values.sum(0, keepdim=True) / count.clamp_min(1)
            return torch.where(good, tensor, mean.expand_as(tensor))

    return mended(inquest, snapshot, until, change)


@experiment("winsorise", "with the batch limited to the range of the batches before it", applies=has_batches)
def winsorised(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    ranges: dict[str, tuple[float, float]] = {}
    at = failing(inquest)
    for i in range(at - COMPARED, at):
        for place, tensor in tensors_of(inquest, i).items():
            finite = tensor[torch.isfinite(tensor)]
            if finite.numel():
                low, high = ranges.get(place, (float("inf"), float("-inf")))
                ranges[place] = min(low, finite.min().item()), max(high, finite.max().item())

    def change(place: str, tensor: Tensor) -> Tensor:
        return tensor.clamp(*ranges[place]) if place in ranges else tensor

    return mended(inquest, snapshot, until, change)


@experiment("standardise", "with every column of the batches standardised", start="early", applies=has_batches)
def standardised(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    def change(place: str, tensor: Tensor) -> Tensor:
        with torch.no_grad():
            values = torch.nan_to_num(tensor.double(), nan=0.0)
            rows = values.reshape(-1, values.shape[-1]) if values.dim() > 1 else values.reshape(-1, 1)
            mean = rows.mean(0)
            std = rows.std(0, correction=0)
            scaled = (rows - mean) / torch.where(std > 0, std, torch.ones_like(std))
            return scaled.reshape(values.shape).to(tensor.dtype)

    return mended(inquest, snapshot, until, change)
