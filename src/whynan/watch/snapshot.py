"""A snapshot: the whole state that one iteration of the user's loop can change, to put it back and run it again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from torch import Tensor

from whynan.watch.frames import callers, read_locals, write_locals
from whynan.watch.randomness import RandomState
from whynan.watch.reachable import Reachable, put_back
from whynan.watch.tensorstore import Entry, TensorStore, restore


class Snapshot:
    """State at the start of one iteration, after its item was fetched. Holds strong references to what it covers."""

    __slots__ = ("index", "steps", "frame", "locals", "random", "undo", "entries", "grads", "modules", "optimizers",
                 "buffers", "complete", "seconds", "lost", "backwards", "nbytes")  # fmt: skip

    index: int  # iteration of the loop run
    steps: int  # optimizer steps completed
    backwards: int  # calls of backward completed
    frame: FrameType
    locals: dict[str, Any]
    random: RandomState
    undo: list[tuple[Any, ...]]
    entries: dict[int, Entry]
    grads: list[tuple[Tensor, Tensor | None]]
    modules: list[Any]
    buffers: list[Tensor]  # floating-point buffers of all modules
    optimizers: list[Any]
    complete: bool
    seconds: float
    lost: list[Tensor]
    nbytes: int  # of its copies, shared ones included

    def restore(self) -> None:
        """Put everything back in place; `lost` afterwards names tensors that were written to but not copied."""
        write_locals(self.frame, self.locals)
        put_back(self.undo)
        for parameter, grad in self.grads:
            if parameter.grad is not grad:
                parameter.grad = grad
        self.lost = restore(self.entries.values())
        self.random.restore()


class Snapshotter:
    """Takes snapshots; shares with the one before whatever no one has written to since."""

    def __init__(self, is_user_file: Callable[[str], bool]) -> None:
        self.store = TensorStore()
        self._is_user_file = is_user_file
        self._modules: dict[str, dict[str, Any]] = {}
        self._known = 0
        self._owned: dict[str, bool] = {}  # by file

    def take(self, frame: FrameType, item: Any, index: int, steps: int) -> Snapshot:
        """Snapshot of what is reachable from `frame`, its user callers, the user's modules and the loop's item.

        Raises NoRoom.
        """
        start = time.thread_time()
        snap = Snapshot()
        snap.index, snap.steps, snap.frame, snap.lost = index, steps, frame, []
        snap.locals = read_locals(frame)
        roots: list[Any] = [item, *snap.locals.values()]
        for caller in callers(frame.f_back):
            if self._is_user_file(caller.f_code.co_filename) and caller.f_locals is not caller.f_globals:
                roots.extend(caller.f_locals.values())
        names = []
        for namespace in self._user_namespaces().values():
            saved = dict(namespace)
            if namespace is not frame.f_globals or frame.f_locals is not frame.f_globals:
                names.append(("names", namespace, saved))
            roots.extend([value for name, value in saved.items() if name != "__builtins__"])
        reach = Reachable(roots, self.is_user_module)
        snap.undo = names + reach.undo
        snap.grads, snap.modules, snap.optimizers = reach.grads, reach.modules, reach.optimizers
        snap.complete, snap.buffers = reach.complete, reach.buffers
        snap.entries = self.store.take(reach.tensors.values(), reach.must_copy)
        snap.nbytes = sum(entry.nbytes for entry in snap.entries.values())
        snap.random = RandomState()
        snap.seconds = time.thread_time() - start + self.store.device_seconds
        return snap

    def is_user_module(self, name: str) -> bool:
        return name in self._user_namespaces()

    def _user_namespaces(self) -> dict[str, dict[str, Any]]:
        if len(sys.modules) != self._known:
            self._known = len(sys.modules)
            self._modules = {
                name: vars(module) for name, module in list(sys.modules.items()) if self._is_user_owned(name, module)
            }
        return self._modules

    def _is_user_owned(self, name: str, module: Any) -> bool:
        file = getattr(module, "__file__", None) or ""
        if file not in self._owned:
            self._owned[file] = self._is_user_file(file)
        return name == "__main__" or self._owned[file]
