"""The item of one iteration as the body first saw it, to hand out the same item again.

Bodies change their batch in place: `labels = batch.pop("labels")`, `batch["mask"] = batch["mask"] > 0`, `x.sub_(mean)`.
A snapshot covers the item of its own iteration. This covers those of the iterations after it: containers always,
which costs some microseconds; values of tensors only from the first time that a body was seen to write to its batch.
An object that comes with several items is no batch but state of the program, which the re-execution itself rebuilds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from whynan.watch.reachable import put_back

CONTAINERS = 64  # per item
LONGEST = 256  # entries of one container; longer ones are data sets rather than batches


class HeldItem:
    """Containers, and on request tensors, of one item. `put_back` makes it again what it was."""

    __slots__ = ("containers", "nbytes", "_undo", "_tensors", "_copies", "_shared")

    def __init__(self, item: Any, copy: bool = False, shared: Set[int] = frozenset()) -> None:
        self.containers: set[int] = set()  # identities
        self.nbytes = 0  # of its tensors
        self._shared = shared
        self._undo: list[tuple[Any, ...]] = []
        self._tensors: list[tuple[Tensor, int]] = []
        self._walk(item)
        self._shared = frozenset()
        with torch.no_grad():
            self._copies = [(t, t.detach().clone()) for t, _ in self._tensors] if copy else []

    @property
    def written(self) -> bool:
        """Whether somebody wrote to a tensor of the item since."""
        return any(tensor._version != version for tensor, version in self._tensors)

    def put_back(self) -> None:
        put_back(self._undo)
        with torch.no_grad():
            for tensor, saved in self._copies:
                if tensor.shape == saved.shape:
                    tensor.detach().copy_(saved)

    def _walk(self, item: Any) -> None:
        stack, seen = [item], self.containers
        while stack and len(self._undo) < CONTAINERS:
            obj = stack.pop()
            if isinstance(obj, Tensor):
                if obj.layout is torch.strided and not obj.is_inference():
                    self._tensors.append((obj, obj._version))
                    self.nbytes += obj.nbytes
                continue
            if id(obj) in seen or isinstance(obj, (str, bytes, int, float, type(None))):
                continue
            seen.add(id(obj))
            if id(obj) in self._shared:
                continue
            if isinstance(obj, (list, deque)):
                self._keep("list" if isinstance(obj, list) else "deque", obj, list(obj), stack)
            elif isinstance(obj, dict):
                self._keep("dict", obj, dict(obj), stack)
            elif isinstance(obj, (tuple, set, frozenset)):
                stack.extend(obj if len(obj) <= LONGEST else ())
            elif type(state := getattr(obj, "__dict__", None)) is dict and _plain(obj):
                self._keep("dict", state, dict(state), stack)

    def _keep(self, kind: str, obj: Any, saved: Any, stack: list[Any]) -> None:
        if len(saved) <= LONGEST:
            self._undo.append((kind, obj, saved))
            stack.extend(saved.values() if isinstance(saved, dict) else saved)


NOTHING = HeldItem(())
_IMMUTABLE = frozenset({int, float, str, bytes, bool, type(None)})


def hold(item: Any, copy: bool = False, shared: Set[int] = frozenset()) -> HeldItem:
    """`HeldItem(...)`; the same one for all items in which nothing can change (counters, those of `while`)."""
    return NOTHING if type(item) in _IMMUTABLE or (type(item) is tuple and not item) else HeldItem(item, copy, shared)


def _plain(obj: Any) -> bool:
    """A batch class (BatchEncoding, a dataclass, a graph), no module, function, class or file."""
    return not (isinstance(obj, (type, ModuleType, FunctionType, MethodType, nn.Module)) or hasattr(obj, "__next__"))
