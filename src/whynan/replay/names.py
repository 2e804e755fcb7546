"""What a tensor is called by the user: parameter, buffer, entry of optimizer state, item of the batch, local name."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from torch import Tensor, nn

from whynan.tensors.many import is_finite

_NO_BATCH = (type, ModuleType, FunctionType, MethodType, nn.Module)  # graphs of torch_geometric are callable


class Name(NamedTuple):
    kind: str  # "item" | "parameter" | "buffer" | "gradient" | "state" | "local" | "attribute"
    name: str
    module: str | None = None  # the module that owns a parameter or buffer


def root_modules(modules: Iterable[nn.Module] | None = None) -> dict[str, nn.Module]:
    """The modules that no other module contains, under unique keys; from all living objects if none are given."""
    found = list(modules) if modules is not None else [o for o in gc.get_objects() if issubclass(type(o), nn.Module)]
    inner = {id(child) for m in found for child in m._modules.values() if child is not None}
    return {f"{type(m).__name__}-{i}": m for i, m in enumerate(found) if id(m) not in inner}


class Names:
    """Names of tensors by storage, so that views and detached aliases are recognised as well."""

    def __init__(self, roots: Mapping[str, nn.Module], optimizers: Iterable[Any] = ()) -> None:
        self._by_storage: dict[int, Name] = {}
        self._by_id: dict[int, Name] = {}
        self._keep: list[Tensor] = []
        for root in roots.values():
            for name, module in root.named_modules():
                for kind, table in (("parameter", module._parameters), ("buffer", module._buffers)):
                    for key, tensor in table.items():
                        if tensor is not None:
                            full = f"{name}.{key}" if name else key
                            self.add(tensor, Name(kind, full, name))
                            if kind == "parameter" and tensor.is_leaf and tensor.grad is not None:
                                self.add(tensor.grad, Name("gradient", f"{full}.grad", name))
        for optimizer in optimizers:
            for parameter, state in list(optimizer.state.items()):
                if isinstance(state, dict) and isinstance(parameter, Tensor):
                    owner = self.of(parameter)
                    for key, value in state.items():
                        if isinstance(value, Tensor):
                            label = f"{key} of {owner.name}" if owner else key
                            self.add(value, Name("state", label, owner.module if owner else None))
            for group, options in enumerate(optimizer.param_groups):
                for i, parameter in enumerate(options["params"]):
                    if self.of(parameter) is None:
                        self.add(parameter, Name("parameter", f"param_groups[{group}]['params'][{i}]", None))
                    if parameter.grad is not None and self.of(parameter.grad) is None:
                        self.add(parameter.grad, Name("gradient", f"{self.of(parameter).name}.grad", None))  # type: ignore[union-attr]

    def add(self, tensor: Tensor, name: Name) -> None:
        self._keep.append(tensor)
        self._by_id.setdefault(id(tensor), name)
        if (key := _storage(tensor)) is not None:
            self._by_storage.setdefault(key, name)

    def add_item(self, item: Any, variables: Mapping[str, Any]) -> None:
        """Names for the tensors of a batch: the variable it is bound to, else its place in the item."""
        bound = {id(v): k for k, v in variables.items() if isinstance(v, Tensor)}
        for path, tensor in flatten(item):
            self.add(tensor, Name("item", bound.get(id(tensor), f"batch{path}")))

    def add_locals(self, variables: Mapping[str, Any]) -> None:
        for name, value in variables.items():
            for path, tensor in flatten(value):
                self.add(tensor, Name("local", name + path))

    def bad_one(self, name: Name) -> Tensor | None:
        """The tensor that was given this name, if it is non-finite (a view of it would have other rows and columns)."""
        for tensor in self._keep:
            if self._by_id.get(id(tensor)) == name and not is_finite(tensor):
                return tensor
        return None

    def tensors(self) -> list[Tensor]:
        """All tensors that have a name."""
        return list(self._keep)

    def of(self, tensor: Tensor) -> Name | None:
        """Longest match: the object itself, else whatever shares its storage."""
        found = self._by_id.get(id(tensor))
        if found is None and (key := _storage(tensor)) is not None:
            found = self._by_storage.get(key)
        return found


def flatten(item: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """(path, tensor) pairs of a nested batch: tuples, lists, dicts, dataclasses, objects with tensor attributes."""
    if isinstance(item, Tensor):
        yield path, item
    elif depth > 6:
        return
    elif isinstance(item, Mapping):
        for key, value in list(item.items())[:1000]:
            yield from flatten(value, f"{path}[{key!r}]", depth + 1)
    elif isinstance(item, (list, tuple)):
        for i, value in enumerate(item[:1000]):
            yield from flatten(value, f"{path}[{i}]", depth + 1)
    elif hasattr(item, "__dict__") and not isinstance(item, _NO_BATCH):
        for key, value in list(vars(item).items())[:100]:
            if isinstance(value, (Tensor, Mapping, list, tuple)):
                yield from flatten(value, f"{path}.{key}", depth + 1)


def _storage(tensor: Tensor) -> int | None:
    try:
        return tensor.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):
        return None
