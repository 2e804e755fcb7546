"""The batch of one iteration on disk: its nesting as JSON, its tensors and arrays as safetensors.

Tensors, numpy arrays, numbers, text, None, and tuples, lists and dictionaries of those are kept. Any other object is
described by its type only: to keep it would take pickle, and reading that would run code.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whynan.case import strict_json
from whynan.case.contents import write_text
from whynan.replay.pool import Pool
from whynan.replay.slicefile import encode, read_json
from whynan.replay.tensorfile import TensorFile

SCHEMA = "whynan.batch/1"
JSON, TENSORS = "batch.json", "batch.safetensors"
_DEEPEST, _LONGEST = 12, 10_000


class HeldBatch:
    """One item, collected in a pool; `described` names the objects that could not be kept."""

    def __init__(self, item: Any) -> None:
        self.pool = Pool()
        self.described: list[str] = []
        self.tree = self._take(item, "batch", 0)

    def _take(self, item: Any, path: str, depth: int) -> Any:
        if isinstance(item, Tensor):
            entry = self.pool.add(path, item)
            if entry is not None:
                return {"tensor": entry, "requires_grad": item.requires_grad}
        elif (array := _array(item)) is not None:
            entry = self.pool.add(path, array)
            if entry is not None:
                return {"array": entry}
        elif item is None or isinstance(item, (bool, int, float, complex, str)) and type(item).__module__ == "builtins":
            return {"plain": encode(item)}
        elif depth < _DEEPEST and type(item) in (list, tuple) and len(item) <= _LONGEST:
            kind = "list" if type(item) is list else "tuple"
            return {kind: [self._take(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(item)]}
        elif depth < _DEEPEST and isinstance(item, Mapping) and len(item) <= _LONGEST and _plain_keys(item):
            pairs = [[key, self._take(value, f"{path}[{key!r}]", depth + 1)] for key, value in item.items()]
            return {"dict": pairs, "type": _type_of(item)}
        self.described.append(f"{path} ({_type_of(item)})")
        return {"described": _type_of(item)}

    def write(self, folder: Path) -> None:
        self.pool.write(folder / TENSORS)
        data = {"schema": SCHEMA, "item": self._placed(self.tree), "described": self.described}
        write_text(folder / JSON, strict_json.dumps(data))

    def _placed(self, tree: Any) -> Any:
        if "dict" in tree:
            return {**tree, "dict": [[key, self._placed(value)] for key, value in tree["dict"]]}
        for kind in ("list", "tuple"):
            if kind in tree:
                return {kind: [self._placed(part) for part in tree[kind]]}
        for kind in ("tensor", "array"):
            if kind in tree:
                return {**tree, kind: self.pool.place(tree[kind])}
        return tree


class Described:
    """Stands for an object of the batch that was not kept."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<a {self.kind} that the case does not hold>"


def read_batch(folder: Path) -> Any:
    """The item of a case. Objects that were not kept are `Described`. CaseError for a damaged file."""
    from whynan.errors import CaseError

    data = read_json(folder / JSON, SCHEMA)
    try:
        return _made(data["item"], TensorFile(folder / TENSORS))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CaseError(f"{folder / JSON} is damaged: {type(error).__name__}: {error}.") from None


def _made(tree: Any, file: TensorFile) -> Any:
    from whynan.replay.slicefile import decode

    if "tensor" in tree:
        tensor = file.read(tree["tensor"], "a tensor of the batch")
        return tensor.requires_grad_(bool(tree.get("requires_grad")))
    if "array" in tree:
        return file.read(tree["array"], "an array of the batch").numpy()
    if "dict" in tree:
        return {key: _made(value, file) for key, value in tree["dict"]}
    if "list" in tree:
        return [_made(part, file) for part in tree["list"]]
    if "tuple" in tree:
        return tuple(_made(part, file) for part in tree["tuple"])
    return Described(str(tree["described"])) if "described" in tree else decode(tree["plain"])


def _array(item: Any) -> Tensor | None:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(item, (numpy.ndarray, numpy.generic)):
        return None
    try:
        return torch.from_numpy(numpy.array(item))  # a copy: arrays may be read-only or have negative strides
    except TypeError:  # text, objects, dates
        return None


def _plain_keys(item: Mapping[Any, Any]) -> bool:
    return all(type(key) in (str, int) for key in item)


def _type_of(item: Any) -> str:
    kind = type(item)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
