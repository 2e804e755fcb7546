"""Reading tensors of a case that somebody sent: safetensors for the numbers, checked JSON for the views. No code runs.

Everything in the JSON is suspected: dtypes are looked up in a list, every view is checked against the bytes it looks
into before it is made, and sizes beyond what a case can mean are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whynan.errors import CaseError
from whynan.replay.pool import COMPRESSED, NATIVE, reach

DTYPES = {name: getattr(torch, name) for name in (*NATIVE, "complex32", "complex128") if hasattr(torch, name)}
LARGEST = 1 << 34  # bytes of one tensor, expanded views included
_LAYOUTS = {str(layout).removeprefix("torch."): layout for layout in COMPRESSED}


class TensorFile:
    """One safetensors file. `read` makes the tensor of a description; tensors of one region share its memory."""

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        self._bases: dict[str, Tensor] = {}
        if not path.is_file():
            raise CaseError(f"{path} is missing: the tensors of this case were left out or removed.")
        try:
            self._file = safe_open(str(path), framework="pt")
            self._keys = set(self._file.keys())
        except (SafetensorError, OSError, ValueError) as error:
            raise CaseError(f"{path} is no safetensors file: {error}.") from None

    def read(self, entry: Any, where: str = "a tensor") -> Tensor:
        """The tensor that `entry` (what `Pool.place` gave) describes. CaseError names the file and `where`."""
        if not isinstance(entry, dict):
            raise self._wrong(where, "is no description of a tensor")
        layout = entry.get("layout")
        if layout == "strided":
            return self._strided(entry, where)
        parts = entry.get("parts")
        if not isinstance(parts, dict):
            raise self._wrong(where, f"has the layout {layout!r}, which this version cannot read")
        shape = self._numbers(entry, "shape", where)
        read = {name: self.read(inner, f"{where}, {name}") for name, inner in parts.items()}
        try:
            if layout == "sparse_coo":
                made = torch.sparse_coo_tensor(read["indices"], read["values"], shape, check_invariants=True)
                return made._coalesced_(bool(entry.get("coalesced")))
            rows, columns = COMPRESSED[_LAYOUTS[layout]]  # type: ignore[index]
            return torch.sparse_compressed_tensor(
                read[rows], read[columns], read["values"], shape, layout=_LAYOUTS[layout], check_invariants=True  # type: ignore[index]
            )  # fmt: skip
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise self._wrong(where, f"is no {layout} tensor: {str(error).splitlines()[0]}") from None

    def _strided(self, entry: dict[str, Any], where: str) -> Tensor:
        dtype = DTYPES.get(str(entry.get("dtype")))
        if dtype is None:
            raise self._wrong(where, f"has the dtype {entry.get('dtype')!r}, which this version cannot read")
        shape, stride = self._numbers(entry, "shape", where), self._numbers(entry, "stride", where)
        start = entry.get("start")
        if len(shape) != len(stride) or type(start) is not int or start < 0 or start % dtype.itemsize:
            raise self._wrong(where, "has strides that do not fit its shape")
        base = self._base(entry.get("key"), where)
        size = base.numel() * base.element_size()
        if start + reach(shape, stride) * dtype.itemsize > size:
            raise self._wrong(where, f"looks at more memory than the {size} bytes that the file holds for it")
        if torch.Size(shape).numel() * dtype.itemsize > LARGEST:
            raise self._wrong(where, f"is too large: shape {shape}")
        if base.dtype != dtype:
            flat = base.reshape(-1).view(torch.uint8)
            flat = flat[: flat.numel() - flat.numel() % dtype.itemsize].view(dtype)
        else:
            flat = base.reshape(-1)
        return torch.as_strided(flat, shape, stride, start // dtype.itemsize)

    def _base(self, key: Any, where: str) -> Tensor:
        if not isinstance(key, str) or key not in self._keys:
            raise self._wrong(where, f"is under {key!r}, which the file does not hold")
        if key not in self._bases:
            self._bases[key] = self._file.get_tensor(key).contiguous()
        return self._bases[key]

    def _numbers(self, entry: dict[str, Any], field: str, where: str) -> list[int]:
        found = entry.get(field)
        good = isinstance(found, list) and len(found) <= 64 and all(type(n) is int and 0 <= n < 1 << 48 for n in found)
        if not good:
            raise self._wrong(where, f"has a {field} that is no list of whole numbers")
        assert isinstance(found, list)
        if field == "shape" and _product(found) > 1 << 48:
            raise self._wrong(where, f"is too large: shape {found}")
        return found

    def _wrong(self, where: str, what: str) -> CaseError:
        return CaseError(f"{self.path}: {where} {what}.")


def _product(numbers: list[int]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result
