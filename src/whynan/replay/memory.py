"""The memory a step touched, and how it changed: which storage, which part of it, and what was in it when.

A `Memory` stands for one untyped storage, told apart from a later one at the same address by a weak reference that
keeps the storage's identity (not its bytes) alive. An `Area` is a strided part of a memory between two writes: every
tensor that looked at that part in that time shares it, so nothing is looked at twice. Views need no bookkeeping:
they are other areas of the same memory.

Values are kept by reference and copied only when somebody is about to overwrite them, within a budget of bytes.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from whynan.tensors.look import ORDINARY, extremes, nonfinite, plain, real, unobserved

if TYPE_CHECKING:
    from whynan.replay.trace import OpRecord

Extremes = tuple[float, float, bool, bool]  # smallest, largest (nan if any), has nan, has inf


class Memory:
    """One storage: the ops that wrote it, in order, and the areas looked at since the last write."""

    __slots__ = ("number", "weak", "writes", "areas", "clean", "counted", "parameter", "unseen")

    def __init__(self, number: int, storage: torch.UntypedStorage) -> None:
        self.number = number
        self.weak = StorageWeakRef(storage)
        self.writes: list[tuple[OpRecord, Area]] = []
        self.areas: dict[tuple, Area] = {}
        self.clean = False  # True: every element is known to be finite
        self.counted = False  # True: its bytes are in the budget
        self.parameter = False  # True: a parameter lives here
        self.unseen = 0  # ops before this number have not written what is there now: it changed while nobody watched


class Area:
    """A strided part of a memory, as it was between two writes."""

    __slots__ = (
        "memory", "offset", "shape", "stride", "dtype", "device", "version", "owner",
        "tensor", "keep", "copied", "_extremes", "_checked",
    )  # fmt: skip

    def __init__(self, memory: Memory, tensor: torch.Tensor) -> None:
        self.memory = memory
        self.offset = tensor.storage_offset()
        self.shape = tensor.shape
        self.stride = tensor.stride()
        self.dtype = tensor.dtype
        self.device = tensor.device
        self.version = -1 if tensor.is_inference() else tensor._version
        self.owner = weakref.ref(tensor)
        self.tensor: torch.Tensor | None = None  # an alias, or a copy once the memory was written again
        self.keep = False  # somebody may ask for the numbers later
        self.copied = 0  # bytes of our own copy
        self._extremes: Extremes | None = None
        self._checked = False

    @property
    def floating(self) -> bool:
        return self.dtype.is_floating_point or self.dtype.is_complex

    @property
    def value(self) -> torch.Tensor | None:
        """The numbers as they were, or None when they were not kept. Do not write into it."""
        tensor = self.tensor
        if tensor is None or tensor.untyped_storage().nbytes() < _reach(tensor):
            return None  # freed underneath us, as sharded trainers do with `resize_(0)`
        return tensor

    @property
    def extremes(self) -> Extremes | None:
        """None for integers, for empty tensors, and when the numbers are gone."""
        if not self._checked:
            value = self.value
            if value is not None and self.floating:
                with unobserved():
                    self.measure(value)
        return self._extremes

    def measure(self, tensor: torch.Tensor) -> None:
        """Remember smallest and largest element of `tensor`, this area's numbers. Call it unobserved."""
        self._checked = True
        found = extremes(tensor)
        if found is None:
            return
        low, high = found
        has_nan, has_inf = high != high, high == math.inf or low == -math.inf
        if has_nan and tensor.numel() > 1:
            has_inf = bool(torch.isinf(real(tensor)).any())
        self._extremes = (low, high, has_nan, has_inf)

    @property
    def bad(self) -> bool:
        """True when an element is nan or infinite."""
        if self.memory.clean and not self._checked:
            return False
        found = self.extremes
        return found is not None and (found[2] or found[3])

    def mask(self) -> torch.Tensor | None:
        """Which elements are nan or infinite; None when the numbers are gone."""
        value = self.value
        if value is None:
            return None
        with unobserved():
            return nonfinite(value)


def _reach(tensor: torch.Tensor) -> int:
    """Bytes of storage that a tensor needs to exist."""
    if tensor.numel() == 0:
        return 0
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride()))
    return int(tensor.storage_offset() + last + 1) * tensor.element_size()


class Ledger:
    """All memories a trace has met. Every method must be called unobserved and with plain tensors.

    While an op runs, what it reads and writes is held by reference, and copied if it is about to be overwritten.
    `settle` then decides what stays: `keep_bytes` bounds the bytes that live only for our sake, and the last quarter
    of them is for ops that gave something non-finite.
    """

    def __init__(self, keep_bytes: int) -> None:
        self.keep_bytes = keep_bytes
        self.kept = 0
        self.memories: dict[int, Memory] = {}

    def memory(self, tensor: torch.Tensor) -> Memory:
        storage = tensor.untyped_storage()
        found = self.memories.get(storage._cdata)
        if found is None:
            found = self.memories[storage._cdata] = Memory(len(self.memories), storage)
        return found

    def area(self, tensor: torch.Tensor) -> Area:
        """The area `tensor` looks at now, its numbers at hand until `settle`."""
        memory = self.memory(tensor)
        key = (tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        area = memory.areas.get(key)
        if area is None:
            area = memory.areas[key] = Area(memory, tensor)
        elif area.owner() is None:
            area.owner = weakref.ref(tensor)
        if area.tensor is None:
            area.tensor = tensor.detach()
        return area

    def before_write(self, tensor: torch.Tensor) -> None:
        """Copy what is to be kept of the memory of `tensor`, and the part itself, for it is about to change."""
        own = self.area(tensor)
        memory = own.memory
        held = [a for a in memory.areas.values() if a.tensor is not None and (a.keep or a is own)]
        size = sum(_bytes(a) for a in held)
        whole = tensor.untyped_storage().nbytes()
        if self.kept + min(size, whole) > self.keep_bytes:
            held, size = [own], _bytes(own)
        copies = _copies(held) if size <= whole else _copy_of_all(held, tensor.untyped_storage())
        for area in memory.areas.values():
            area.tensor = None
        for area, copy in zip(held, copies):
            area.tensor, area.copied = copy, min(_bytes(area), max(whole // len(held), 1))
            self.kept += area.copied

    def after_write(self, record: OpRecord, tensor: torch.Tensor) -> Area:
        """A new area for what `record` wrote. Areas seen before belong to the past from now on."""
        memory = self.memory(tensor)
        if memory.writes and memory.writes[-1][0] is record:
            area = memory.areas.get((tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype))
            if area is not None:
                return area  # the same window returned twice
        else:
            memory.areas = {}
        area = self.area(tensor)
        memory.writes.append((record, area))
        if not area.floating:
            memory.clean = False  # bytes may be read as floating numbers later
        return area

    def settle(self, areas: Iterable[Area], precious: bool, bad: bool) -> None:
        """The op is over: keep the numbers of a precious one within the budget, let go of the others."""
        for area in areas:
            if area.keep or area.tensor is None:
                continue
            if precious and self._afford(area, bad):
                area.keep = True
            else:
                self.kept -= area.copied
                area.tensor, area.copied = None, 0

    def _afford(self, area: Area, bad: bool) -> bool:
        """A memory that the step allocated is counted once; what existed before is alive anyhow."""
        memory = area.memory
        limit = self.keep_bytes if bad else self.keep_bytes * 3 // 4
        if area.copied:
            return self.kept <= limit
        if memory.counted or not memory.writes:
            return True
        assert area.tensor is not None
        size = area.tensor.untyped_storage().nbytes()
        if self.kept + size > limit:
            return False
        self.kept += size
        memory.counted = True
        return True

    def pause(self) -> None:
        """Nobody watches from now on: remember the versions. (Our aliases do not share the version counter.)"""
        for memory in self.memories.values():
            for area in memory.areas.values():
                owner = area.owner()
                if owner is not None and not owner.is_inference():
                    area.version = owner._version

    def resume(self, index: int) -> None:
        """Watching again, before op number `index`: forget what was known of memories that were written meanwhile."""
        for memory in self.memories.values():
            owned = [(a, o) for a in memory.areas.values() if (o := a.owner()) is not None and not o.is_inference()]
            if any(owner._version != area.version for area, owner in owned):
                memory.unseen, memory.clean = index, False
                for area in memory.areas.values():
                    area.tensor = None
                memory.areas = {}


def _bytes(area: Area) -> int:
    return area.shape.numel() * area.dtype.itemsize


def _copies(areas: list[Area]) -> list[torch.Tensor | None]:
    return [a.value.clone() if a.value is not None else None for a in areas]


def _copy_of_all(areas: list[Area], storage: torch.UntypedStorage) -> list[torch.Tensor | None]:
    """Many overlapping views of one storage: one copy of it, and the views again."""
    copy = storage.clone()
    fresh = (torch.empty(0, dtype=a.dtype, device=a.device) for a in areas)
    return [t.set_(copy, a.offset, a.shape, a.stride) for t, a in zip(fresh, areas)]


def writers(area: Area, before: int) -> list[tuple[OpRecord, Area]]:
    """Who wrote the memory of `area` before op number `before`, latest first."""
    first = area.memory.unseen if area.memory.unseen <= before else 0
    return [w for w in reversed(area.memory.writes) if first <= w[0].index < before]


def unit(*areas: Area) -> int:
    """Bytes that divide the elements of all areas: the grain in which parts of one memory are compared."""
    return math.gcd(*(a.dtype.itemsize for a in areas))


def spread(mask: torch.Tensor, area: Area, grain: int, length: int) -> torch.Tensor:
    """Mark the elements of `mask` (shape of `area`) on a flat map of the memory, `length` grains long."""
    flat = torch.zeros(length, dtype=torch.bool, device=mask.device)
    window, wide = _window(flat, area, grain)
    if not window.numel():
        return flat
    if _disjoint(window):
        window.copy_(mask.unsqueeze(-1) if wide > 1 else mask)
        return flat
    hit = _addresses(area, grain, mask.device)[mask.expand(area.shape)]
    if wide > 1:
        hit = (hit[:, None] + torch.arange(wide, device=mask.device)).reshape(-1)
    flat[hit] = True
    return flat


def _disjoint(window: torch.Tensor) -> bool:
    """No two elements share an address (sufficient, not necessary)."""
    reach = 0
    for step, size in sorted((s, n) for s, n in zip(window.stride(), window.shape) if n > 1):
        if step <= reach:
            return False
        reach += (size - 1) * step
    return True


def collect(flat: torch.Tensor, area: Area, grain: int) -> torch.Tensor:
    """Read the marks of a flat map back in the shape of `area`."""
    window, wide = _window(flat, area, grain)
    return window.any(-1) if wide > 1 else window.clone()


def _window(flat: torch.Tensor, area: Area, grain: int) -> tuple[torch.Tensor, int]:
    wide = area.dtype.itemsize // grain
    shape, stride = tuple(area.shape), tuple(s * wide for s in area.stride)
    if wide > 1:
        shape, stride = shape + (wide,), stride + (1,)
    return torch.as_strided(flat, shape, stride, area.offset * wide), wide


def _addresses(area: Area, grain: int, device: torch.device) -> torch.Tensor:
    wide = area.dtype.itemsize // grain
    place = torch.full(tuple(area.shape), int(area.offset * wide), dtype=torch.int64, device=device)
    for axis, (size, step) in enumerate(zip(area.shape, area.stride)):
        shape = [1] * len(area.shape)
        shape[axis] = size
        place += (torch.arange(size, device=device) * (step * wide)).reshape(shape)
    return place


def length_of(grain: int, *areas: Area) -> int:
    """Grains a flat map needs to cover all areas."""
    ends = []
    for a in areas:
        wide = a.dtype.itemsize // grain
        last = sum((n - 1) * s for n, s in zip(a.shape, a.stride)) if all(a.shape) else -1
        ends.append(int(a.offset + last + 1) * wide)
    return max(ends, default=0)


def holdable(tensor: object) -> torch.Tensor | None:
    """A plain tensor with a storage we can tell apart, or None."""
    inner = plain(tensor)
    if inner is None or inner is tensor and type(tensor) in ORDINARY:
        return inner
    try:
        return inner if inner.untyped_storage()._cdata else None
    except (RuntimeError, NotImplementedError):
        return None
