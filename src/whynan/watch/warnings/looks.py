"""A look at activations, in few iterations: how close do they come to the end of their number format?

A dispatch mode is put over what happens from one optimizer step to the next. It keeps, per op and line of the user's
code, the largest input of `exp`, the widest row of a softmax (attention logits), the largest result in float16, and the
largest input of a normalisation layer. The numbers stay on their device and come to the host when the look is over,
with one transfer that is not waited for (`lagged`). Steps are chosen ever more rarely: 1, 2, 3, 5, 8, 12, 18, ...,
later so that it keeps to its share of the time (`budget`).

Nothing is changed: the same kernels run on the same numbers. Some derivatives (of `prod`, for one) are computed in
another way while a mode is active, so the look ends where the backward pass begins, unless float16 is in use and none
of these is in the graph. Programs that use torch.compile are not looked at: they would run uncompiled for that step.
"""

from __future__ import annotations

import functools
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from whynan.watch.budget import ACTIVATIONS
from whynan.watch.lagged import Lagged

GROWTH = 1.5  # of the distance between two looks
SLICE = 1 << 16  # elements that a softmax is looked at in one go, on the CPU
MASK = -1e3  # softmax inputs below are masked, not small
NODES = 20_000  # of a graph; larger ones are not searched
_DIFFERENT = ("Prod", "Cumprod", "Linalg", "Cholesky", "Lu", "Svd", "Qr", "Eig", "Triangular")
_EXP, _SOFTMAX = frozenset({"exp", "exp_"}), frozenset({"_softmax"})
_NORM = frozenset(
    "native_layer_norm native_batch_norm native_group_norm _fused_rms_norm _native_batch_norm_legit".split()
)
_PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm", "convolution", "sum", "mul", "add", "linear", "pow", "exp"})


@dataclass(frozen=True)
class Look:
    """One measured op of one step. `what`: "exp", "softmax", "float16" or "norm"."""

    index: int  # optimizer steps completed
    what: str
    op: str
    place: str | None  # file:line of the user's code; None in backward
    dtype: torch.dtype
    value: float


class Looker(TorchDispatchMode):
    """Measures while it is active, between `begin` and `end`."""

    def __init__(self, is_user_file: Callable[[str], bool], backward: bool) -> None:
        super().__init__()
        self._is_user_file = is_user_file
        self._backward = backward
        self.active = False
        self.found: list[tuple[str, str, str | None, torch.dtype, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.rpartition("::")[2]
        if name in _EXP or name in _SOFTMAX or name in _NORM:
            x = args[0]
            if isinstance(x, Tensor) and x.numel():
                self._note("exp" if name in _EXP else "softmax" if name in _SOFTMAX else "norm", name, x, args)
        elif name in _PRODUCTS and type(result) is Tensor and result.dtype is torch.float16 and result.numel():
            self._note("float16", name, result, args)
        return result

    def _note(self, what: str, name: str, x: Tensor, args: Any) -> None:
        in_backward = torch._C._current_autograd_node() is not None
        if in_backward and not self._backward:
            return
        try:
            with torch.no_grad():
                value = _measure(what, x, args)
        except (RuntimeError, NotImplementedError):
            return
        self.found.append((what, name, None if in_backward else self._place(), x.dtype, value))

    def _place(self) -> str | None:
        frame = sys._getframe(3)
        while frame is not None:
            if self._is_user_file(frame.f_code.co_filename):
                return f"{_short(frame.f_code.co_filename)}:{frame.f_lineno}"
            frame = frame.f_back  # type: ignore[assignment]
        return None

    def begin(self) -> None:
        self.active = True
        self.__enter__()

    def end(self) -> bool:
        """False if it cannot be ended now: a mode of the program's was put over it."""
        if self.active:
            if _get_current_dispatch_mode() is not self:
                return False
            self.active = False
            self.__exit__(None, None, None)
        return True

    def backward_begins(self, tensors: Iterable[Any]) -> None:
        """End the look where a backward pass has nothing to show, or would not compute the same under a mode."""
        half = self._backward and any(what == "float16" for what, *_ in self.found)
        if not half or _differs_under_a_mode(tensors):
            self.end()

    def send(self, index: int, queue: Lagged) -> None:
        """Put what was found on its way; `arrived` makes looks of it. One transfer per device, waited for by nobody."""
        for device in {value.device for *_, value in self.found}:
            here = [entry for entry in self.found if entry[4].device == device]
            queue.send(torch.stack([entry[4] for entry in here]), (index, [entry[:4] for entry in here]))
        self.found = []


def _differs_under_a_mode(tensors: Iterable[Any]) -> bool:
    """Whether the graph has a node whose derivative is computed in another way while any dispatch mode is active (torch
    takes all tensors for subclasses then, see `areAnyTensorSubclassLike` in its FunctionsManual.cpp)."""
    stack = [t.grad_fn for t in tensors if isinstance(t, Tensor) and t.grad_fn is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.name().startswith(_DIFFERENT) or len(seen) > NODES:
            return True
        fresh = {following for following, _ in node.next_functions if following is not None} - seen
        seen |= fresh
        stack.extend(fresh)
    return False


def arrived(queue: Lagged) -> Iterator[tuple[int, list[Look]]]:
    """(step, the largest value per op and place) of the looks whose numbers are there."""
    for (index, keys), numbers in queue.arrived():
        best: dict[tuple[str, str, str | None, torch.dtype], float] = {}
        for key, number in zip(keys, numbers, strict=True):
            best[key] = max(best.get(key, -math.inf), number)
        yield index, [Look(index, w, n, p, d, v) for (w, n, p, d), v in best.items() if math.isfinite(v)]


@functools.cache
def _short(path: str) -> str:
    """As a user would type it from here."""
    inside = path.startswith(os.getcwd() + os.sep)
    return os.path.relpath(path) if inside else path


def _measure(what: str, x: Tensor, args: Any) -> Tensor:
    x = x.detach()
    if what == "exp":
        return x.amax().double()
    if what == "softmax":
        return torch.stack([_widest(part, args[1]) for part in _parts(x, args[1])]).amax().double()
    if x.is_cuda:  # one kernel, and half a pass
        return torch.linalg.vector_norm(x, math.inf).double()
    low, high = torch.aminmax(x)
    return torch.maximum(-low, high).double()


def _parts(x: Tensor, dim: int) -> Sequence[Tensor]:
    """Slices along another dimension than `dim`, of about `SLICE` elements: what is made of them is as large."""
    other = 0 if dim % max(1, x.dim()) else x.dim() - 1
    if x.is_cuda or x.numel() <= SLICE or other == dim % max(1, x.dim()):
        return (x,)
    return x.split(max(1, x.shape[other] * SLICE // x.numel()), other)


def _widest(x: Tensor, dim: int) -> Tensor:
    """The largest distance within a row (along `dim`) between elements that are not masked."""
    open_ = x > MASK
    top = torch.where(open_, x, -math.inf).amax(dim)
    low = torch.where(open_, x, math.inf).amin(dim)
    return torch.where(top >= low, top - low, 0.0).amax()


class Schedule:
    """When to look: steps further and further apart, sooner where something grows, within a budget of time."""

    def __init__(self) -> None:
        self.next = 1
        self.optimizers = 1  # that take turns
        self._gap = 1.0
        self._bare = math.inf  # seconds of a step without a look
        self._began = 0.0

    def due(self, index: int) -> bool:
        return index >= self.next

    def began(self) -> None:
        self._began = time.thread_time()

    def bare(self) -> None:
        """A step without a look is over."""
        if self._began > 0.0:
            self._bare = min(self._bare, max(1e-6, time.thread_time() - self._began))
            self._began = 0.0

    def looked(self, index: int) -> None:
        cost = max(0.0, time.thread_time() - self._began - (self._bare if math.isfinite(self._bare) else 0.0))
        most = max(50.0, cost / (ACTIVATIONS * self._bare) if math.isfinite(self._bare) else 50.0)
        self._gap = min(most, max(1.0, self._gap * GROWTH))
        self.next = index + math.ceil(self._gap)

    def hurry(self, index: int, within: float) -> None:
        """Something may be too large in so many steps."""
        self._gap = min(self._gap, max(1.0, within / 4))
        self.next = min(self.next, index + int(self._gap))
