"""The user's Python state: everything mutable that can be reached from a frame, taken and put back in place.

A training step changes more than tensors: counters on `self`, lists of losses, the learning rate in `param_groups`, a
scheduler's `last_epoch`, a `nonlocal` variable, an environment's arrays, a private generator. The walk starts at local
and global variables and follows containers, attributes and closures. It is bounded, since it may run every step:
containers longer than `DESCEND` are copied but not entered, and only kinds of objects whose attributes are plain state
are entered at all.
"""

from __future__ import annotations

import operator
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from whynan.watch.frames import write_globals

DESCEND = 256  # longest container whose elements are visited
SHALLOW = 20_000  # longest list that is copied; longer ones are cut back to their length
ARRAY_BYTES = 1 << 20  # largest numpy array that is copied
OBJECTS = 50_000  # visits after which the walk stops

_ATOMS: set[type] = {int, float, bool, str, bytes, complex, type(None), range, slice, ModuleType, torch.dtype}
_ATOMS |= {torch.device, torch.Size, type(len), type(Ellipsis), torch.memory_format, torch.layout}
_FOREIGN = (
    "threading _thread multiprocessing logging _io io socket subprocess concurrent asyncio tqdm wandb tensorboard "
    "importlib _frozen_importlib matplotlib pandas PIL weakref typing inspect ast re contextlib whynan builtins "
    "pathlib rich IPython ipykernel ipywidgets traitlets jupyter_client zmq "
    "torch.utils.data torch.utils.tensorboard torch._dynamo torch._inductor torch.fx torch.jit torch._C "
    "torch.distributed torch.autograd torch.library torch._ops tensorflow jax mlflow sqlite3 ctypes functools"
).split()
_STANDARD = frozenset(nn.Module().__dict__)


@cache
def _is_foreign(home: str) -> bool:
    """Whether instances of classes from module `home` are left alone."""
    return any(home == name or home.startswith(name + ".") for name in _FOREIGN)


class Reachable:
    """One walk: `undo` puts python state back; `tensors`, `modules`, `optimizers` are what it met on the way."""

    def __init__(self, roots: Iterable[Any], is_user_module: Callable[[str], bool]) -> None:
        self.undo: list[tuple[Any, ...]] = []
        self.tensors: dict[int, Tensor] = {}
        self.grads: list[tuple[Tensor, Tensor | None]] = []
        self.must_copy: set[int] = set()
        self.modules: list[nn.Module] = []
        self.buffers: list[Tensor] = []
        self.optimizers: list[torch.optim.Optimizer] = []
        self.complete = True
        self._seen: set[int] = set()
        self._keep: list[Any] = []  # temporaries whose ids are in `_seen`
        self._user = is_user_module
        self._walk(list(roots))

    def _walk(self, stack: list[Any]) -> None:
        seen, atoms = self._seen, _ATOMS
        while stack:
            obj = stack.pop()
            kind = type(obj)
            if kind in atoms or id(obj) in seen:
                continue
            seen.add(id(obj))
            if len(seen) > OBJECTS:
                self.complete = False
                return
            way = _way(kind)  # type: ignore[arg-type]
            if way is not None:
                way(self, obj, stack)

    def _tensor(self, t: Tensor, stack: list[Any]) -> None:
        self.tensors[id(t)] = t
        if t.requires_grad and t.is_leaf:
            self.must_copy.add(id(t))
            grad = t.grad
            self.grads.append((t, grad))
            if grad is not None and id(grad) not in self._seen:
                self._seen.add(id(grad))
                self.tensors[id(grad)] = grad
                self.must_copy.add(id(grad))

    def _module(self, module: nn.Module, stack: list[Any]) -> None:
        self.modules.append(module)
        state = module.__dict__
        self.undo.append(("dict", state, dict(state)))
        for table in ("_parameters", "_buffers", "_modules"):
            members = state.get(table)
            if members:
                self.undo.append(("dict", members, dict(members)))
                stack.extend(v for v in members.values() if v is not None)
                if table == "_buffers":
                    buffers = [v for v in members.values() if v is not None]
                    self.must_copy.update(map(id, buffers))
                    self.buffers += [v for v in buffers if v.is_floating_point()]
        if len(state) > len(_STANDARD):
            stack.extend(v for k, v in state.items() if k not in _STANDARD)

    def _container(self, obj: Any, stack: list[Any]) -> None:
        size = len(obj)
        if isinstance(obj, dict):
            if size <= SHALLOW:
                self.undo.append(("dict", obj, dict(obj)))
            if size <= DESCEND:
                stack.extend(obj.values())
            return
        if isinstance(obj, (list, deque)):
            if size <= SHALLOW:
                self.undo.append(("list" if isinstance(obj, list) else "deque", obj, list(obj)))
            else:
                self.undo.append(("length", obj, size))
        elif isinstance(obj, set):
            self.undo.append(("set", obj, set(obj)))
        elif isinstance(obj, bytearray):
            self.undo.append(("list", obj, bytes(obj)))
            return
        if size <= DESCEND:
            stack.extend(obj)
        if hasattr(obj, "__dict__") and type(obj) not in (dict, list, tuple, set, frozenset, deque):
            stack.extend(vars(obj).values())

    def _function(self, obj: Any, stack: list[Any]) -> None:
        if obj.__closure__ and self._user(obj.__module__ or ""):
            stack.extend(obj.__closure__)

    def _cell(self, obj: Any, stack: list[Any]) -> None:
        try:
            value = obj.cell_contents
        except ValueError:
            return
        self.undo.append(("cell", obj, value))
        stack.append(value)

    def _method(self, obj: Any, stack: list[Any]) -> None:
        stack.append(obj.__self__)

    def _generator(self, obj: Any, stack: list[Any]) -> None:
        self.undo.append(("generator", obj, obj.get_state()))

    def _python_random(self, obj: Any, stack: list[Any]) -> None:
        self.undo.append(("random", obj, obj.getstate()))

    def _array(self, obj: Any, stack: list[Any]) -> None:
        if obj.nbytes <= ARRAY_BYTES and obj.flags.writeable:
            self.undo.append(("array", obj, obj.copy()))

    def _numpy_generator(self, obj: Any, stack: list[Any]) -> None:
        bits = obj.bit_generator
        self.undo.append(("bits", bits, bits.state))

    def _numpy_random(self, obj: Any, stack: list[Any]) -> None:
        self.undo.append(("numpy", obj, obj.get_state()))

    def _type(self, obj: Any, stack: list[Any]) -> None:
        if self._user(obj.__module__):
            self._class(obj, stack)

    def _partial(self, obj: Any, stack: list[Any]) -> None:
        stack.extend((obj.func, *obj.args, *obj.keywords.values()))

    def _loader(self, obj: Any, stack: list[Any]) -> None:
        stack.extend((obj.generator, obj.sampler, obj.batch_sampler, obj.dataset, obj.collate_fn))

    def _class(self, obj: type, stack: list[Any]) -> None:
        state = {
            k: v
            for k, v in vars(obj).items()
            if not k.startswith("__") and not isinstance(v, (FunctionType, property, classmethod, staticmethod))
        }
        self.undo.append(("class", obj, state))
        stack.extend(state.values())

    def _instance(self, obj: Any, stack: list[Any]) -> None:
        home = getattr(type(obj), "__module__", None) or ""
        if isinstance(obj, torch.optim.Optimizer):
            self.optimizers.append(obj)
            self._optimizer_tensors(obj)
        state = getattr(obj, "__dict__", None)
        if type(state) is dict:
            self.undo.append(("dict", state, dict(state)))
            stack.extend(state.values())
        if self._user(home):
            slots = [n for c in type(obj).__mro__ for n in _slots(c) if hasattr(obj, n)]
            for name in slots:
                value = getattr(obj, name)
                self.undo.append(("slot", obj, name, value))
                stack.append(value)

    def _optimizer_tensors(self, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            for p in group["params"]:
                if id(p) not in self._seen:
                    self._seen.add(id(p))
                    self._tensor(p, [])
        for state in optimizer.state.values():
            if isinstance(state, dict):
                self._keep.append(state)
                self._seen.add(id(state))
                self.undo.append(("dict", state, dict(state)))
                for value in state.values():
                    self._state_value(value)
        self.undo.append(("dict", optimizer.state, dict(optimizer.state)))
        self._seen.add(id(optimizer.state))

    def _state_value(self, value: Any) -> None:
        if isinstance(value, Tensor):
            self.must_copy.add(id(value))
            self._seen.add(id(value))
            self.tensors[id(value)] = value
        elif isinstance(value, (list, deque)):  # LBFGS keeps lists of tensors
            self._seen.add(id(value))
            self.undo.append(("list" if isinstance(value, list) else "deque", value, list(value)))
            for v in value:
                self._state_value(v)


def _slots(cls: type) -> Iterable[str]:
    slots = cls.__dict__.get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return [n for n in names if n not in ("__dict__", "__weakref__")]


Way = Callable[[Reachable, Any, list[Any]], None]


@cache
def _way(kind: type) -> Way | None:
    """How objects of this class are walked; None: not at all."""
    for kinds, way in _WAYS:
        if issubclass(kind, kinds):
            return way
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        for name, way in (("ndarray", Reachable._array), ("random.Generator", Reachable._numpy_generator),
                          ("random.RandomState", Reachable._numpy_random)):  # fmt: skip
            if issubclass(kind, operator.attrgetter(name)(numpy)):
                return way
    if kind.__name__ == "partial":
        return Reachable._partial
    return None if _is_foreign(getattr(kind, "__module__", None) or "") else Reachable._instance


# the first that fits
_WAYS: list[tuple[Any, Way]] = [
    (Tensor, Reachable._tensor),
    (nn.Module, Reachable._module),
    ((dict, list, tuple, set, frozenset, deque, bytearray), Reachable._container),
    (FunctionType, Reachable._function),
    (CellType, Reachable._cell),
    (MethodType, Reachable._method),
    (torch.Generator, Reachable._generator),
    (random.Random, Reachable._python_random),
    (type, Reachable._type),
    (torch.utils.data.DataLoader, Reachable._loader),
    ((torch.utils.data.Dataset, torch.utils.data.Sampler), Reachable._instance),
]


def put_back(undo: list[tuple[Any, ...]]) -> None:
    """Restore what a walk recorded, in place: containers and attribute dictionaries keep their identity."""
    for kind, obj, *saved in undo:
        _RESTORE[kind](obj, *saved)


def _dict(obj: dict[Any, Any], saved: dict[Any, Any]) -> None:
    if obj.keys() == saved.keys():
        for key, value in saved.items():
            if obj[key] is not value:
                obj[key] = value
    else:
        obj.clear()
        obj.update(saved)


def _list(obj: Any, saved: Any) -> None:
    obj[:] = saved


def _refill(obj: Any, saved: Any) -> None:
    obj.clear()
    obj.extend(saved) if isinstance(obj, deque) else obj.update(saved)


def _length(obj: Any, saved: int) -> None:
    while len(obj) > saved:
        obj.pop()


def _class_state(obj: type, saved: dict[str, Any]) -> None:
    for name, value in saved.items():
        if vars(obj).get(name) is not value:
            setattr(obj, name, value)


def _array(obj: Any, saved: Any) -> None:
    obj[...] = saved


_RESTORE: dict[str, Callable[..., None]] = {
    "dict": _dict,
    "names": write_globals,
    "list": _list,
    "deque": _refill,
    "set": _refill,
    "length": _length,
    "array": _array,
    "class": _class_state,
    "cell": lambda obj, saved: setattr(obj, "cell_contents", saved),
    "slot": lambda obj, name, saved: setattr(obj, name, saved),
    "generator": lambda obj, saved: obj.set_state(saved),
    "random": lambda obj, saved: obj.setstate(saved),
    "bits": lambda obj, saved: setattr(obj, "state", saved),
    "numpy": lambda obj, saved: obj.set_state(saved),
}
