"""The same iterations in another number format: autocast off and half tensors widened, float64, or bfloat16."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from whynan.diagnose.counterfactuals.base import experiment
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.parameters import parameters_of
from whynan.replay.eager import eager
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot

HALF = frozenset({torch.float16, torch.bfloat16})
SINGLE = HALF | {torch.float32}


class Widened(TorchFunctionMode):
    """Every tensor of a narrow dtype that reaches a function is cast, and every request for such a dtype changed."""

    def __init__(self, narrow: frozenset[torch.dtype], wide: torch.dtype) -> None:
        super().__init__()
        self.narrow, self.wide = narrow, wide

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("half", "bfloat16") or name == "float" and torch.float32 in self.narrow:
            return args[0].to(self.wide)
        if name in (
            "__get__",
            "__set__",
            "backward",
            "register_hook",
            "requires_grad_",
            "detach_",
            "retain_grad",
            "set_",
        ):
            return func(*args, **(kwargs or {}))
        in_place = name.endswith("_") and not name.endswith("__") or name.startswith("__i") or name == "__setitem__"
        first = args[:1] if in_place else ()
        rest = self._wide(args[len(first) :])
        return func(*first, *rest, **{k: v if k == "out" else self._wide(v) for k, v in (kwargs or {}).items()})

    def _wide(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(self.wide) if value.dtype in self.narrow else value
        if isinstance(value, torch.dtype):
            return self.wide if value in self.narrow else value
        if type(value) in (list, tuple):
            return type(value)(self._wide(v) for v in value)
        return value


@contextlib.contextmanager
def _entering_autocast(change: Callable[[Any], None]) -> Iterator[None]:
    """`with torch.autocast(...)` in the user's code is `change`d before it begins."""
    kind: Any = torch.autocast
    original = kind.__enter__

    def enter(self: Any) -> Any:
        change(self)
        return original(self)

    kind.__enter__ = enter
    try:
        yield
    finally:
        kind.__enter__ = original


def without_autocast() -> contextlib.AbstractContextManager[None]:
    """`with torch.autocast(...)` in the user's code does nothing inside."""
    return _entering_autocast(lambda autocast: setattr(autocast, "_enabled", False))


def _bfloat16_autocast() -> contextlib.AbstractContextManager[None]:
    def change(autocast: Any) -> None:
        if autocast.fast_dtype is torch.float16:
            autocast.fast_dtype = torch.bfloat16

    return _entering_autocast(change)


def _is_half(inquest: Inquest) -> bool:
    return inquest.trace is not None and any(ref.dtype in HALF for r in inquest.trace.records for ref in r.outputs)


@experiment("float32", "in float32", applies=_is_half)
def in_float32(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    return _widened(inquest, snapshot, until, HALF, torch.float32)


@experiment("float64", "in float64", start="early")
def in_float64(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    inquest.cleanup.callback(torch.set_default_dtype, torch.get_default_dtype())
    return _widened(inquest, snapshot, until, SINGLE, torch.float64)


def _is_float16(inquest: Inquest) -> bool:
    records = inquest.trace.records if inquest.trace is not None else []
    return any(ref.dtype is torch.float16 for r in records for ref in r.outputs)


@experiment("bfloat16", "with bfloat16 in the place of float16", applies=_is_float16)
def in_bfloat16(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    half = frozenset({torch.float16})
    return _widened(inquest, snapshot, until, half, torch.bfloat16, _bfloat16_autocast)


def _widened(
    inquest: Inquest,
    snapshot: Snapshot,
    until: int,
    narrow: frozenset[torch.dtype],
    wide: torch.dtype,
    autocast: Callable[[], contextlib.AbstractContextManager[None]] = without_autocast,
) -> Attempt:
    state = [t for t in _state(inquest) if t.dtype in narrow]

    @contextlib.contextmanager
    def around(index: int) -> Iterator[None]:
        if wide is torch.float64:
            torch.set_default_dtype(wide)
        with eager(), autocast(), Widened(narrow, wide):
            yield

    def prepare() -> None:
        _convert(inquest, state, wide)

    return Attempt(snapshot=snapshot, until=until, around=around, prepare=prepare, risky=True)


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
