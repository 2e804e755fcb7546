"""One pass over many tensors: is anything non-finite, and how large is each?

The screen is one fused `_foreach_norm` (2-norm, accumulated in float32) per device and dtype: NaN and Inf always
survive a norm, so it has no false negative, and it is 4 to 10 times cheaper than `isfinite().all()` per tensor
(docs/benchmarks.md). Squares of finite values can overflow (float32 from 1.8e19), so a non-finite norm is only a
reason to look twice: `is_finite` decides exactly.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def local_values(tensor: Tensor) -> Tensor | None:
    """The plain dense tensor that holds the numbers of `tensor`, detached; None if there is nothing to look at.

    Sparse tensors give their values, DTensors their local shard, complex ones a real view. Integer, boolean, empty,
    meta, fake and functorch-wrapped tensors give None: they cannot hold a NaN that could be read here.
    """
    try:
        t = tensor.detach()
        if hasattr(t, "to_local"):
            t = t.to_local()
        if t.layout is torch.sparse_coo:
            t = t._values()
        elif t.layout in (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc):
            t = t.values()
        elif t.layout is not torch.strided:
            return None
        if t.is_complex():
            t = torch.view_as_real(t.resolve_conj())
        if not t.is_floating_point() or t.numel() == 0 or t.device.type == "meta":
            return None
        if t.dtype.itemsize == 1:
            t = t.to(torch.float32)  # float8: no reductions; float32 keeps every value
        if torch._C._functorch.is_functorch_wrapped_tensor(t) or type(t).__name__ == "FakeTensor":
            return None
        return t
    except (RuntimeError, NotImplementedError, AttributeError):
        return None


def is_finite(tensor: Tensor) -> bool:
    """Exactly: no NaN and no Inf among the values. True where there are no values to look at."""
    values = local_values(tensor)
    if values is None:
        return True
    low, high = torch.aminmax(values)
    return math.isfinite(low.item()) and math.isfinite(high.item())


def norms(tensors: Sequence[Tensor], plain: bool = False) -> list[float]:
    """The 2-norm of each tensor, accumulated in float32; 0.0 where there are no values to look at.

    A result that is not finite means non-finite values *or* an overflow of the squares. `plain`: all of them are
    thought to be `uniform`, so the short way is tried first.
    """
    if plain:
        with contextlib.suppress(RuntimeError, TypeError):
            return plain_norms(tensors)
    out = [0.0] * len(tensors)
    for (_, dtype), (index, members) in _grouped(tensors).items():
        for i, value in zip(index, torch.stack(list(_fused_norms(members, dtype))).tolist(), strict=True):
            out[i] = value
    return out


def plain_norms(tensors: Sequence[Tensor]) -> list[float]:
    """`norms` without looking at each tensor first: dense floating-point tensors of one device and dtype.

    Raises RuntimeError or TypeError for others (a gradient that turned sparse): call `norms` then.
    """
    if not tensors:
        return []
    low = tensors[0].dtype in (torch.float16, torch.bfloat16)
    norm, dtype = torch.linalg.vector_norm, torch.float32 if low else None
    with torch.no_grad():
        if tensors[0].is_cpu:  # one op instead of three, whose code is cold between two looks: 35 against 80 us for six
            return [norm(t, dtype=dtype).item() for t in tensors]
        return torch.stack(list(_fused_norms(list(tensors), tensors[0].dtype))).tolist()


def device_norms(tensors: Sequence[Tensor]) -> Tensor | None:
    """`norms`, left where they are computed: float32, one dimension. None where they would lie on several devices."""
    groups = _grouped(tensors)
    devices = {device for device, _ in groups}
    if len(devices) != 1:
        return None
    zero = torch.zeros((), device=devices.pop())
    out = [zero] * len(tensors)
    for (_, dtype), (index, members) in groups.items():
        for i, size in zip(index, _fused_norms(members, dtype), strict=True):
            out[i] = size.float()
    return torch.stack(out)


def _grouped(tensors: Sequence[Tensor]) -> dict[tuple[torch.device, torch.dtype], tuple[list[int], list[Tensor]]]:
    """Index and values of the tensors that have values to look at."""
    groups: dict[tuple[torch.device, torch.dtype], tuple[list[int], list[Tensor]]] = {}
    for i, tensor in enumerate(tensors):
        values = tensor.detach() if is_plain(tensor) else local_values(tensor)
        if values is not None:
            index, members = groups.setdefault((values.device, values.dtype), ([], []))
            index.append(i)
            members.append(values)
    return groups


def _fused_norms(members: list[Tensor], dtype: torch.dtype) -> Sequence[Tensor]:
    low = dtype in (torch.float16, torch.bfloat16)
    return torch._foreach_norm(members, 2, dtype=torch.float32) if low else torch._foreach_norm(members, 2)


def uniform(tensors: Sequence[Tensor]) -> bool:
    """Whether `plain_norms` may be used for these."""
    return all(map(is_plain, tensors)) and len({(t.device, t.dtype) for t in tensors}) == 1


def first_nonfinite(tensors: Sequence[Tensor], sizes: Iterable[float] | None = None) -> int | None:
    """Index of the first tensor that really holds a NaN or Inf, or None. `sizes` are their `norms`, if known."""
    for i, size in enumerate(norms(tensors) if sizes is None else sizes):
        if not math.isfinite(size) and not is_finite(tensors[i]):
            return i
    return None


def is_plain(t: Tensor) -> bool:
    """A dense, floating-point tensor of no special kind, with numbers that can be read."""
    return (
        type(t) in (Tensor, torch.nn.Parameter)
        and t.layout is torch.strided
        and t.dtype in _PLAIN
        and t.device.type != "meta"
        and t.numel() > 0
        and not torch._C._functorch.is_functorch_wrapped_tensor(t)
    )


_PLAIN = frozenset({torch.float32, torch.float16, torch.bfloat16, torch.float64})
