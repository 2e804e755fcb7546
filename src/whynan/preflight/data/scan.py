"""One pass over a loader: column statistics of every tensor of its batches, duplicates, and how far it came.

    scan = look_through(loader, seconds=30)

The loader is the user's own, so what is looked at is what training gets: after collation, augmentation and
normalization. Random states are the caller's to keep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from whynan.preflight.data.columns import KEPT, Columns
from whynan.replay.names import flatten

REMEMBERED = 200_000  # signatures of rows that are compared for duplicates


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
    by_index: bool = False  # samples are numbered by their index in the data set
    _signatures: dict[str, dict[tuple[float, float], int]] = field(default_factory=dict)


def look_through(
    batches: Iterable[Any],
    *,
    seconds: float = 60.0,
    names: Mapping[str, str] | None = None,
    indices: Callable[[], list[int] | None] = lambda: None,
    progress: Callable[[int], None] = lambda count: None,
) -> Scan:
    """Scan `batches` for at most `seconds`. names: place in the batch -> shown name; indices: of the latest batch.

    An error that the loader raises ends the scan and is kept in `Scan.error`.
    """
    scan, deadline = Scan(), time.monotonic() + seconds
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return scan
        except Exception as error:
            scan.error, scan.complete = error, False
            return scan
        with torch.no_grad():
            _add(scan, batch, names or {}, indices())
        progress(scan.batches)
        if time.monotonic() > deadline:
            scan.complete = next(iterator, scan) is scan
            return scan


def _add(scan: Scan, batch: Any, names: Mapping[str, str], indices: list[int] | None) -> None:
    found = ((path, _as_tensor(t)) for path, t in _tensors(batch))
    tensors = [(path, t) for path, t in found if t is not None and t.dim() > 0 and not t.is_complex()]
    size = max((t.shape[0] for _, t in tensors), default=0)
    scan.by_index = scan.by_index or indices is not None
    rows = indices if indices is not None and len(indices) == size else range(scan.samples, scan.samples + size)
    for path, tensor in tensors:
        name = names.get(path, f"batch{path}")
        columns = scan.tensors.get(name)
        if columns is None:
            columns = scan.tensors[name] = Columns(name, tensor)
        if not columns.flat and (tensor.dim() < 2 or tensor.shape[1] != columns.width):
            columns = scan.tensors.setdefault(f"{name} (other shapes)", Columns(name, tensor.reshape(-1)))
            tensor = tensor.reshape(-1)
        own = rows if len(rows) == tensor.shape[0] else range(tensor.shape[0])
        columns.add(tensor, own)
        _compare(scan, name, tensor, own)
    scan.batches += 1
    scan.samples += size


def _tensors(batch: Any) -> Iterable[tuple[str, Any]]:
    yield from flatten(batch)
    yield from _arrays(batch)


def _arrays(item: Any, path: str = "", depth: int = 0) -> Iterable[tuple[str, Any]]:
    """numpy arrays of a batch, found without importing numpy."""
    if type(item).__module__ == "numpy" and hasattr(item, "dtype") and hasattr(item, "reshape"):
        yield path, item
    elif depth < 4 and isinstance(item, Mapping):
        for key, value in item.items():
            yield from _arrays(value, f"{path}[{key!r}]", depth + 1)
    elif depth < 4 and isinstance(item, (list, tuple)):
        for i, value in enumerate(item[:100]):
            yield from _arrays(value, f"{path}[{i}]", depth + 1)


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
