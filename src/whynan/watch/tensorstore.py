"""Contents of tensors at one moment, shared between snapshots while nothing writes to them.

A tensor's `_version` counts in-place writes, so an unchanged version (on the same storage) means unchanged numbers and
the earlier copy serves again. Writes through `.data` (weights updated by hand, target networks) do not count, so of
parameters, buffers and state the numbers are compared as well. Copies go through one fused `_foreach_copy_` per device
and dtype (5 to 6 GB/s on a CPU against half of that for single clones). Restoring writes through `.data`, in place and
without moving the version counter: identity of parameters, optimizer state and aliases is kept, which
`load_state_dict` would not do. Memory of copies that nobody holds any more is used again: fresh pages cost more than
the copy (32 % of a step against 12 %, see `RECYCLED`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from whynan.watch.room import place

ALWAYS_COPIED = 256 * 1024  # bytes; larger tensors are copied only once they are known to be written to
DEVICE_RATE, HOST_RATE = 4e11, 1.2e10  # bytes a second, low for a copy on a device of today and for one over PCIe 4
HELD_HERE_ONLY = 3  # references to an entry: in `_latest`, in a variable, in the argument of getrefcount
RECYCLED = 64 * 1024  # bytes from which the memory of a copy is used again; malloc keeps smaller blocks itself


class Pool:
    """Memory of former copies, as much as the latest snapshot copied."""

    def __init__(self) -> None:
        self.limit = 0  # bytes
        self.nbytes = 0
        self._free: dict[tuple[Any, ...], list[Tensor]] = {}

    def like(self, tensor: Tensor, device: torch.device) -> Tensor:
        """A tensor of the same layout with any contents, on `device` (of the host, pinned: copies do not wait)."""
        free = self._free.get(_kind(tensor, device)) if tensor.nbytes >= RECYCLED else None
        if not free:
            return torch.empty_like(tensor, device=device, pin_memory=tensor.is_cuda and device.type == "cpu")
        self.nbytes -= tensor.nbytes
        return free.pop()

    def give(self, tensor: Tensor) -> None:
        if tensor.nbytes >= RECYCLED and self.nbytes + tensor.nbytes <= self.limit:
            self.nbytes += tensor.nbytes
            self._free.setdefault(_kind(tensor, tensor.device), []).append(tensor)


def _kind(tensor: Tensor, device: torch.device) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, device


class Entry:
    """One tensor: the object, an alias that keeps its storage, version and address then, and a copy (or None)."""

    __slots__ = ("tensor", "alias", "address", "version", "copy", "pool")

    def __init__(self, tensor: Tensor, address: int, version: int) -> None:
        self.tensor = tensor
        self.alias = tensor.detach()
        self.address = address
        self.version = version
        self.copy: Tensor | None = None
        self.pool: Pool | None = None

    def __del__(self) -> None:
        if self.pool is not None and self.copy is not None and sys.getrefcount(self.copy) == 2:
            self.pool.give(self.copy)

    def then(self) -> Tensor:
        """What it held then, to be read by the host; without a copy, what it holds now."""
        if self.copy is None:
            return self.alias
        if self.copy.device != self.alias.device:  # made without waiting: it may still be on its way
            torch.cuda.synchronize(self.alias.device)
        return self.copy

    @property
    def nbytes(self) -> int:
        return 0 if self.copy is None else self.copy.numel() * self.copy.element_size()  # sparse ones know no nbytes


class TensorStore:
    """Takes copies of tensors and remembers those of the latest snapshot, to share what did not change."""

    def __init__(self) -> None:
        self._latest: dict[int, Entry] = {}
        self.pool = Pool()
        self.device_seconds = 0.0  # that the device needs for the latest copies, which nobody waits for: an estimate
        self._written: set[int] = set()  # ids of large tensors whose version was seen to change

    @property
    def nbytes(self) -> int:
        """Of the copies of the latest snapshot, and of memory that is kept for the next."""
        return sum([entry.nbytes for entry in self._latest.values()]) + self.pool.nbytes

    def forget(self) -> None:
        """Share nothing with earlier snapshots from here on (after a restoration versions say nothing)."""
        self._latest = {}

    def drop(self) -> None:
        """Hold no memory that no snapshot holds."""
        self.forget()
        self.pool = Pool()

    def take(self, tensors: Iterable[Tensor], must_copy: set[int]) -> dict[int, Entry]:
        """Entries by id. `must_copy`: ids of parameters, gradients and optimizer state, copied at any size.

        Raises NoRoom before anything is copied.
        """
        entries: dict[int, Entry] = {}
        fresh: list[Entry] = []
        for tensor in tensors:
            key = id(tensor)
            tensor = getattr(tensor, "_local_tensor", tensor)  # of a DTensor this rank's part: nothing may be gathered
            try:
                version, address = tensor._version, tensor.data_ptr()
            except RuntimeError:  # inference, functorch or fake tensors, sparse ones have no address
                if (entry := _opaque(tensor)) is not None:
                    entries[key] = entry
                continue
            last = self._latest.get(key)
            if last is not None and last.tensor is tensor:
                same = last.version == version and last.address == address
                if same and not ((key in must_copy or isinstance(tensor, nn.Parameter)) and _differs(last)):
                    entries[key] = last
                    continue
                self._written.add(key)
                if sys.getrefcount(last) == HELD_HERE_ONLY:  # its loop is over: the new copy can have its memory
                    del self._latest[key]
                del last
            entry = entries[key] = Entry(tensor, address, version)
            if tensor.nbytes <= ALWAYS_COPIED or key in must_copy or key in self._written:
                fresh.append(entry)
        _copy_all(fresh, self.pool)
        self.device_seconds = sum([_device_seconds(entry) for entry in fresh if entry.alias.is_cuda])
        self.pool.limit = sum([entry.nbytes for entry in fresh])
        self._latest = dict(entries)  # of its own: what is taken out of it stays in the snapshot
        return entries


def _differs(entry: Entry) -> bool:
    """Whether the tensor holds other numbers than its copy; a NaN differs from itself, which only costs a copy.

    On a device the answer would have to be waited for, and a copy is cheap: there it is True.
    """
    if not entry.tensor.is_cpu:
        return True
    with torch.no_grad():
        return entry.copy is not None and not torch.equal(entry.copy, entry.tensor.detach())


def _device_seconds(entry: Entry) -> float:
    there = entry.copy is not None and entry.copy.device == entry.alias.device
    return entry.alias.nbytes / (DEVICE_RATE if there else HOST_RATE)


def restore(entries: Iterable[Entry]) -> list[Tensor]:
    """Put the contents back. Returns the tensors that were written to meanwhile but of which no copy exists."""
    lost = []
    targets: dict[tuple[torch.device, torch.dtype], tuple[list[Tensor], list[Tensor]]] = {}
    with torch.no_grad():
        for entry in entries:
            tensor = entry.tensor
            if entry.copy is None:
                if tensor._version != entry.version or tensor.data_ptr() != entry.address:
                    lost.append(tensor)
                continue
            if entry.copy.layout is not torch.strided:
                tensor.data = entry.copy.clone()
                continue
            if entry.address and tensor.data_ptr() != entry.address:
                tensor.data = entry.alias
            if not _is_fusible(tensor) or entry.copy.device != tensor.device:
                tensor.data.copy_(entry.copy)
                continue
            live, saved = targets.setdefault((tensor.device, tensor.dtype), ([], []))
            target, copy = _once(tensor.data, entry.copy)
            live.append(target)
            saved.append(copy)
        for live, saved in targets.values():
            torch._foreach_copy_(live, saved)
    return lost


def _once(tensor: Tensor, copy: Tensor) -> tuple[Tensor, Tensor]:
    """Both without the repetitions of an expanded tensor, whose elements share memory: torch refuses to write there."""
    for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if stride == 0 and size > 1:
            tensor, copy = tensor.narrow(dim, 0, 1), copy.narrow(dim, 0, 1)
    return tensor, copy


def _is_fusible(tensor: Tensor) -> bool:
    """Whether `_foreach_copy_` takes it; of a lazily conjugated or negated one it refuses the whole list."""
    strided = tensor.layout is torch.strided and not tensor.is_quantized
    return strided and not tensor.is_conj() and not tensor.is_neg()


def _opaque(tensor: Tensor) -> Entry | None:
    try:
        entry = Entry(tensor, 0, 0)
        entry.copy = tensor.detach().clone()
        return entry
    except (RuntimeError, NotImplementedError):
        return None


def _copy_all(entries: list[Entry], pool: Pool) -> None:
    groups: dict[tuple[torch.device, torch.dtype], list[Entry]] = {}
    with torch.no_grad():
        for entry in entries:
            if _is_fusible(entry.alias):
                groups.setdefault((entry.alias.device, entry.alias.dtype), []).append(entry)
            else:
                entry.copy = entry.alias.clone()
        places = {key: place(key[0], sum([e.alias.nbytes for e in members])) for key, members in groups.items()}
        for key, members in groups.items():
            for entry in members:
                stays = key[0] == places[key] or entry.alias.nbytes <= ALWAYS_COPIED
                entry.copy = pool.like(entry.alias, key[0] if stays else places[key])
                entry.pool = pool
                if not stays:
                    entry.copy.copy_(entry.alias, non_blocking=True)
            here = [e for e in members if e.copy is not None and e.copy.device == key[0]]
            torch._foreach_copy_([e.copy for e in here], [e.alias for e in here])  # type: ignore[misc]
