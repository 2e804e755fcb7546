"""One pass over a loader: column statistics of every tensor of its batches, duplicates, and how far it came.

    scan = look_through(loader, seconds=30)

The loader is the user's own, so what is looked at is what training gets: after collation, augmentation and
normalization. Random states are the caller's to keep.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from whynan.preflight.data.columns import KEPT, Columns
from whynan.replay.names import flatten

CHUNK = 1 << 20  # elements that are looked at together
REMEMBERED = 200_000  # signatures of rows that are compared for duplicates


class Kept:
    """An iterator that ends where the loader raises, and keeps the error."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self.error: Exception | None = None

    def __iter__(self) -> Kept:
        return self

    def __next__(self) -> Any:
        if self.error is not None:
            raise StopIteration
        try:
            return next(self._batches)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise StopIteration from None


@dataclass
class Scan:
    """What one pass saw. `tensors` by their place in the batch, under the name they are shown with."""

    tensors: dict[str, Columns] = field(default_factory=dict)
    duplicates: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # pairs of samples
    repeated: dict[str, int] = field(default_factory=dict)
    batches: int = 0
    samples: int = 0
    complete: bool = True
    error: BaseException | None = None
    source: str = ""  # the variable, where it is not what the training loop is fed
    by_index: bool = False  # samples are numbered by their index in the data set
    handled: set[str] = field(default_factory=set)  # tensors whose NaN and Inf the program was seen to deal with
    harmless: set[str] = field(default_factory=set)  # tensors whose outliers move the weights no farther than others
    _keys: dict[tuple[int, int], str] = field(default_factory=dict)  # of the first batch
    _signatures: dict[str, dict[tuple[float, float], int]] = field(default_factory=dict)

    def from_loader(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches; an error of the loader is kept and ends them."""
        try:
            kept = batches if isinstance(batches, Kept) else Kept(iter(batches))
        except Exception as error:
            self.error, self.complete = error, False
            return
        yield from kept
        if kept.error is not None:
            self.error, self.complete = kept.error, False

    def add(
        self, batch: Any, names: Mapping[str, str], indices: list[int] | None = None, deadline: float = math.inf
    ) -> frozenset[str]:
        """Take in one batch; the names of its tensors that hold NaN or Inf.

        Large tensors are taken in parts, so that memory stays bounded; those after `deadline` are left out.
        """
        found = ((path, _as_tensor(t)) for path, t in _tensors(batch))
        tensors = [(path, t) for path, t in found if t is not None and t.dim() > 0 and not t.is_complex()]
        size = max((t.shape[0] for _, t in tensors), default=0)
        self.by_index = self.by_index or indices is not None
        rows = indices if indices is not None and len(indices) == size else range(self.samples, self.samples + size)
        bad = set()
        with torch.no_grad():
            for path, tensor in tensors:
                name = called(path, names)
                own = rows if len(rows) == tensor.shape[0] else range(tensor.shape[0])
                if not self.batches:
                    self._keys[key_of(tensor)] = name
                if self._take(name, tensor, own, deadline):
                    bad.add(name)
        self.batches += 1
        self.samples += size
        return frozenset(bad)

    def shown(self, name: str) -> str:
        """`name`, or a place that begins with it, with the variable that it belongs to."""
        return name if name.startswith(self.source) else f"{self.source}: {name}"

    def name_of(self, key: tuple[int, int]) -> str | None:
        """The shown name of the tensor of the first batch that has this `key_of`."""
        return self._keys.get(key)

    def extremes(self, name: str) -> tuple[int, int, tuple[int, ...]] | None:
        """(smallest, largest, sample of the largest) over all data, of the tensor of whole numbers of that name."""
        columns = self.tensors.get(name)
        if columns is None or columns.floating or not bool(columns.count.sum()):
            return None
        column = int(columns.high.argmax())
        return int(columns.low.min()), int(columns.high.max()), (int(columns.high_row[column]),)

    def _take(self, name: str, tensor: Tensor, rows: Sequence[int], deadline: float) -> bool:
        columns = self.tensors.get(name)
        if columns is None:
            columns = self.tensors[name] = Columns(name, tensor)
        if not columns.flat and (tensor.dim() < 2 or tensor.shape[1] != columns.width):
            columns = self.tensors.setdefault(f"{name} (other shapes)", Columns(name, tensor[:1].reshape(-1)))
        before = columns.nonfinite
        step = _rows_at_once(tensor)
        for start in range(0, tensor.shape[0], step):
            if start and time.monotonic() > deadline:
                self.complete = False
                break
            part, own = tensor[start : start + step], rows[start : start + step]
            columns.add(part, own)
            _compare(self, name, part, own)
        return columns.nonfinite > before


def look_through(
    batches: Iterable[Any],
    *,
    seconds: float = 60.0,
    names: Mapping[str, str] | None = None,
    indices: Callable[[], list[int] | None] = lambda: None,
    each: Callable[[], object] = lambda: None,
) -> Scan:
    """Scan `batches` for at most `seconds`. names: place in the batch -> shown name; indices: of the latest batch.

    each: called after every batch. An error that the loader raises ends the scan and is kept in `Scan.error`.
    """
    scan, deadline = Scan(), time.monotonic() + seconds
    for batch in scan.from_loader(batches):
        scan.add(batch, names or {}, indices(), deadline)
        each()
        if time.monotonic() > deadline:
            scan.complete = scan.complete and length(batches) == scan.batches
            break
    return scan


def called(path: str, names: Mapping[str, str]) -> str:
    """The shown name of the place `path` of a batch: that of the longest beginning of it that has one, and the rest."""
    for end in range(len(path), -1, -1):
        if path[:end] in names and (end == len(path) or path[end] in "[."):
            return names[path[:end]] + path[end:]
    return f"batch{path}"


def key_of(tensor: Tensor) -> tuple[int, int]:
    """Where the values lie and how many they are: the same for every view of a whole tensor."""
    return tensor.data_ptr(), tensor.numel()


def length(batches: Any) -> int | None:
    """How many batches, where that is known."""
    try:
        return len(batches)
    except (TypeError, NotImplementedError):  # an iterable of unknown length
        return None


def _rows_at_once(tensor: Tensor) -> int:
    per_row = max(1, tensor.numel() // max(1, tensor.shape[0]))
    return max(1, CHUNK // per_row)


def _tensors(batch: Any) -> Iterable[tuple[str, Any]]:
    yield from flatten(batch)
    yield from arrays(batch)


def arrays(item: Any, path: str = "", depth: int = 0) -> Iterable[tuple[str, Any]]:
    """numpy arrays of a batch, found without importing numpy."""
    if type(item).__module__ == "numpy" and hasattr(item, "dtype") and hasattr(item, "reshape"):
        yield path, item
    elif depth < 4 and isinstance(item, Mapping):
        for key, value in item.items():
            yield from arrays(value, f"{path}[{key!r}]", depth + 1)
    elif depth < 4 and isinstance(item, (list, tuple)):
        for i, value in enumerate(item[:100]):
            yield from arrays(value, f"{path}[{i}]", depth + 1)


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value if value.layout is torch.strided and not value.is_meta else None
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _compare(scan: Scan, name: str, tensor: Tensor, rows: Any) -> None:
    """Rows that are equal bit for bit, by two random projections in float64 (a coincidence needs 2**-100)."""
    if tensor.dim() < 2 or not tensor.is_floating_point() or not tensor[0].numel():
        return
    flat = tensor.detach().to("cpu", torch.float64).reshape(tensor.shape[0], -1)
    random = torch.Generator().manual_seed(flat.shape[1])
    marks = flat @ torch.rand(flat.shape[1], 2, generator=random, dtype=torch.float64)
    known = scan._signatures.setdefault(name, {})
    for row, mark in zip(rows, marks.tolist(), strict=False):
        key = (mark[0], mark[1])
        if mark[0] != mark[0]:  # NaN is never equal
            continue
        first = known.setdefault(key, row) if len(known) < REMEMBERED else known.get(key, row)
        if first != row:
            scan.repeated[name] = scan.repeated.get(name, 0) + 1
            pairs = scan.duplicates.setdefault(name, [])
            if len(pairs) < KEPT:
                pairs.append((first, row))
