"""The same iterations in more precision: autocast off, or everything in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from whynan.diagnose.counterfactuals.base import experiment
from whynan.diagnose.counterfactuals.items import mended
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.parameters import parameters_of
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot


@contextlib.contextmanager
def without_autocast() -> Iterator[None]:
    """`with torch.autocast(...)` in the user's code does nothing inside."""
    kind: Any = torch.autocast
    original = kind.__enter__

    def enter(self: Any) -> Any:
        self._enabled = False
        return original(self)

    kind.__enter__ = enter
    try:
        yield
    finally:
        kind.__enter__ = original


def _is_half(inquest: Inquest) -> bool:
    half = (torch.float16, torch.bfloat16)
    return inquest.trace is not None and any(ref.dtype in half for r in inquest.trace.records for ref in r.outputs)


@experiment("float32", "in float32", applies=_is_half)
def in_float32(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    half = [t for t in _state(inquest) if t.dtype in (torch.float16, torch.bfloat16)]

    def around(index: int) -> contextlib.AbstractContextManager[None]:
        return without_autocast()

    def widen(place: str, tensor: Tensor) -> Tensor:
        return tensor.float() if half and tensor.dtype in (torch.float16, torch.bfloat16) else tensor

    attempt = mended(inquest, snapshot, until, widen)
    attempt.around = around
    attempt.prepare = lambda: _convert(inquest, half, torch.float32)
    return attempt


@experiment("float64", "in float64", start="early")
def in_float64(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    floats = [t for t in _state(inquest) if t.is_floating_point()]
    before = torch.get_default_dtype()
    inquest.cleanup.callback(torch.set_default_dtype, before)

    def around(index: int) -> contextlib.AbstractContextManager[None]:
        torch.set_default_dtype(torch.float64)
        return without_autocast()

    attempt = mended(inquest, snapshot, until, lambda place, tensor: tensor.double())
    attempt.around = around
    attempt.prepare = lambda: _convert(inquest, floats, torch.float64)
    return attempt


def _state(inquest: Inquest) -> list[Tensor]:
    found = {id(p): p for p in parameters_of(inquest)}
    for module in inquest.modules:
        found.update({id(t): t for t in (*module.parameters(), *module.buffers())})
    for optimizer in inquest.optimizers:
        for state in optimizer.state.values():
            if isinstance(state, dict):
                found.update({id(t): t for t in state.values() if isinstance(t, Tensor) and t.is_floating_point()})
    return list(found.values())


def _convert(inquest: Inquest, tensors: list[Tensor], dtype: torch.dtype) -> None:
    """Exchange what the tensors hold; `cleanup` gives them their own memory back before the next restoration."""
    for tensor in tensors:
        grad = tensor.grad if tensor.is_leaf else None
        inquest.cleanup.callback(_give_back, tensor, tensor.data, grad)
        if tensor.is_leaf:
            tensor.grad = None
        tensor.data = tensor.data.to(dtype)


def _give_back(tensor: Tensor, data: Tensor, grad: Tensor | None) -> None:
    if tensor.is_leaf:
        tensor.grad = None
    tensor.data = data
    if grad is not None:
        tensor.grad = grad
