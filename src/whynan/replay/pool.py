"""Tensors as they are now, kept for a file: safetensors for the numbers, a JSON description for what shares what.

A `Pool` first only collects (so that `nbytes` can be asked before anything is copied), then `freeze` copies every
region of memory once, however many views look at it. `describe` gives the JSON by which `tensorfile` makes the views
again: dtype, shape, strides, and the region they look into. Tied weights stay tied, expanded tensors stay small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whynan.tensors.look import unobserved

# what safetensors has a name for; anything else (complex128) is kept as bytes
NATIVE = frozenset(
    "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 "
    "float8_e4m3fn float8_e5m2".split()
)
COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices"),
    torch.sparse_csc: ("ccol_indices", "row_indices"),
    torch.sparse_bsr: ("crow_indices", "col_indices"),
    torch.sparse_bsc: ("ccol_indices", "row_indices"),
}
_ALIGN = 16  # bytes


class Region:
    """Bytes [low, high) of one storage, and who looks into them."""

    __slots__ = ("key", "sample", "low", "high", "dtypes", "views", "shape", "copy")

    def __init__(self, key: str, sample: Tensor) -> None:
        self.key = key
        self.sample: Tensor | None = sample  # keeps the storage alive until it is copied
        self.low, self.high = 1 << 62, 0
        self.dtypes: set[torch.dtype] = set()
        self.views = 0
        self.shape: list[int] | None = None  # of the only view, where that is the whole region
        self.copy: Tensor | None = None

    def add(self, tensor: Tensor) -> None:
        size = tensor.element_size()
        start = int(tensor.storage_offset()) * size
        self.low = min(self.low, start - start % _ALIGN)
        self.high = max(self.high, start + int(reach(tensor.shape, tensor.stride())) * size)
        self.dtypes.add(tensor.dtype)
        self.views += 1
        whole = tensor.is_contiguous() and start % _ALIGN == 0
        self.shape = list(tensor.shape) if self.views == 1 and whole and dtype_name(tensor.dtype) in NATIVE else None

    @property
    def dtype(self) -> torch.dtype:
        only = next(iter(self.dtypes)) if len(self.dtypes) == 1 else torch.uint8
        return only if dtype_name(only) in NATIVE else torch.uint8

    def freeze(self) -> None:
        if self.copy is not None or self.sample is None:
            return
        storage = self.sample.untyped_storage()
        high = min(self.high, storage.nbytes())
        flat = torch.empty(0, dtype=torch.uint8, device=self.sample.device)
        flat.set_(storage, self.low, (high - self.low,), (1,))
        copied = torch.empty(high - self.low, dtype=torch.uint8).copy_(flat).view(self.dtype)
        self.copy = copied.reshape(self.shape) if self.shape is not None else copied
        self.sample = None


class Pool:
    """Collects tensors under names. The names are keys of the safetensors file, so that people can read it too."""

    def __init__(self) -> None:
        self.regions: dict[int, Region] = {}
        self._keys: set[str] = set()
        self._alive: list[Tensor] = []

    @property
    def nbytes(self) -> int:
        return sum(region.high - region.low for region in self.regions.values())

    def add(self, name: str, tensor: Tensor) -> dict[str, Any] | None:
        """Hold `tensor`; the function that describes it comes with `describe`. None: there are no numbers to hold.

        A DTensor gives its local shard, a subclass its inner tensor. The description is complete after `freeze`.
        """
        with unobserved(), torch.no_grad():
            try:
                return self._add(name, tensor)
            except (RuntimeError, NotImplementedError, AttributeError, TypeError):
                return None  # fake, functorch-wrapped, on a device without storage

    def _add(self, name: str, tensor: Tensor) -> dict[str, Any] | None:
        local = getattr(tensor, "to_local", None)
        tensor = (local() if local is not None else tensor).detach()
        if tensor.is_meta or tensor.is_quantized or tensor.is_nested:
            return None
        if tensor.layout is torch.sparse_coo:
            parts = {"indices": tensor._indices(), "values": tensor._values()}
            return self._sparse(name, tensor, parts, {"coalesced": tensor.is_coalesced()})
        if tensor.layout in COMPRESSED:
            parts = {part: getattr(tensor, part)() for part in (*COMPRESSED[tensor.layout], "values")}
            return self._sparse(name, tensor, parts, {})
        if tensor.is_conj() or tensor.is_neg():
            tensor = tensor.resolve_conj().resolve_neg()
        storage = tensor.untyped_storage()
        if storage.nbytes() < (tensor.storage_offset() + reach(tensor.shape, tensor.stride())) * tensor.element_size():
            return None  # freed underneath
        region = self.regions.get(storage._cdata)
        if region is None:
            region = self.regions[storage._cdata] = Region(self._key(name), tensor)
            self._alive.append(tensor)
        region.add(tensor)
        return {
            "layout": "strided",
            "dtype": dtype_name(tensor.dtype),
            "shape": list(tensor.shape),
            "stride": list(tensor.stride()),
            "start": tensor.storage_offset() * tensor.element_size(),  # made relative to the region by `place`
            "key": region.key,
            "device": tensor.device.type,
        }

    def _sparse(
        self, name: str, tensor: Tensor, parts: dict[str, Tensor], more: dict[str, Any]
    ) -> dict[str, Any] | None:
        entries = {part: self._add(f"{name}.{part}", values) for part, values in parts.items()}
        if any(entry is None for entry in entries.values()):
            return None
        layout = str(tensor.layout).removeprefix("torch.")
        return {"layout": layout, "shape": list(tensor.shape), "parts": entries, **more}

    def _key(self, name: str) -> str:
        key, number = name, 2
        while key in self._keys or key == "__metadata__":
            key, number = f"{name}~{number}", number + 1
        self._keys.add(key)
        return key

    def freeze(self) -> None:
        """Copy what was collected: whatever the program does to its tensors from now on is not seen here."""
        with unobserved(), torch.no_grad():
            for region in self.regions.values():
                region.freeze()
        self._alive.clear()

    def place(self, entry: dict[str, Any] | None) -> dict[str, Any]:
        """The description with its start, in bytes, relative to its region. Call it when nothing more is added."""
        assert entry is not None
        if entry["layout"] != "strided":
            return {**entry, "parts": {part: self.place(inner) for part, inner in entry["parts"].items()}}
        low = next(region.low for region in self.regions.values() if region.key == entry["key"])
        return {**entry, "start": entry["start"] - low}

    def write(self, path: Path) -> None:
        """Write the safetensors file. OSError where the disk refuses."""
        from safetensors import SafetensorError, serialize_file

        self.freeze()
        held = {region.key: region.copy.contiguous() for region in self.regions.values() if region.copy is not None}
        try:
            serialize_file({key: _spec(tensor) for key, tensor in held.items()}, str(path), {"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"{path.name} could not be written: {error}") from error
        path.chmod(path.parent.stat().st_mode & 0o666)  # as any other file here, not the 0600 of its temporary one


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def reach(shape: Any, stride: Any) -> int:
    """Elements of memory, from the first one on, that a strided tensor needs."""
    if any(n == 0 for n in shape):
        return 0
    return 1 + sum((n - 1) * s for n, s in zip(shape, stride))


def _spec(tensor: Tensor) -> Any:
    """What safetensors wants to know: since 0.8 a pointer, before that the bytes. Its own torch helper needs numpy."""
    import ctypes

    import safetensors

    size = tensor.numel() * tensor.element_size()
    spec = getattr(safetensors, "TensorSpec", None)
    if spec is None:
        data = ctypes.string_at(tensor.data_ptr(), size) if size else b""
        return {"dtype": dtype_name(tensor.dtype), "shape": list(tensor.shape), "data": data}
    return spec(
        dtype=dtype_name(tensor.dtype), shape=list(tensor.shape), data_ptr=tensor.data_ptr() if size else 16,
        data_len=size,
    )  # fmt: skip
