"""Look at one tensor and say what is in it: a handful of numbers (`TensorFacts`), never its elements.

Looking changes nothing and draws no random numbers. Every kind of tensor a training step can hold is brought down to
plain memory first (`plain`); what has no memory to look at (meta and fake tensors, tensors that were never given a
shape) yields facts without statistics.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from whynan.case.facts import Elements, TensorFacts

CHUNK = 1 << 22  # elements looked at in float64 at a time: 32 MB, whatever the size of the tensor
ORDINARY = (torch.Tensor, torch.nn.Parameter)
FLOAT8 = tuple(getattr(torch, n) for n in dir(torch) if n.startswith("float8_"))


class unobserved:  # noqa: N801, used as a statement
    """`with unobserved():` runs torch calls that no mode, subclass, hook or autograd graph of the user's can see."""

    __slots__ = ("_guards",)

    def __enter__(self) -> None:
        self._guards = (
            torch._C._DisableTorchDispatch(),
            torch._C._AutoDispatchBelowAutograd(),
            torch._C.DisableTorchFunction(),
        )
        for guard in self._guards:
            guard.__enter__()

    def __exit__(self, *exc: Any) -> None:
        for guard in reversed(self._guards):
            guard.__exit__(*exc)


def plain(tensor: Any) -> torch.Tensor | None:
    """The strided tensor that holds the numbers of `tensor`, or None when there is none to look at.

    A DTensor gives its local shard, a sparse tensor its values, a wrapper subclass its first floating inner tensor.
    """
    for _ in range(8):
        if not isinstance(tensor, torch.Tensor) or tensor.is_meta:
            return None
        if type(tensor) not in ORDINARY:
            inner = _inner(tensor)
            if inner is None:
                return None
            if inner is not tensor:
                tensor = inner
                continue
        if tensor.layout is torch.strided:
            return None if tensor.is_quantized or tensor.is_nested else tensor
        tensor = _values(tensor)
    return None


def _inner(tensor: torch.Tensor) -> torch.Tensor | None:
    if isinstance(tensor, torch._subclasses.FakeTensor) or type(tensor).__name__.startswith("Uninitialized"):
        return None
    flatten = getattr(type(tensor), "__tensor_flatten__", None)
    if flatten is None:
        return tensor  # a subclass that only adds methods
    names, _ = flatten(tensor)
    parts = [p for p in (getattr(tensor, n, None) for n in names) if isinstance(p, torch.Tensor)]
    floats = [p for p in parts if p.is_floating_point() or p.is_complex()]
    return next(iter(floats or parts), None)


def _values(tensor: torch.Tensor) -> torch.Tensor | None:
    if tensor.layout is torch.sparse_coo:
        return tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc):
        return tensor.values()
    return None


def real(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` in a dtype that comparisons and reductions know: complex as pairs of reals, float8 as float32."""
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj().resolve_neg())
    return tensor.float() if tensor.dtype in FLOAT8 else tensor


def nonfinite(tensor: torch.Tensor) -> torch.Tensor:
    """Boolean mask of the shape of `tensor` (plain): which elements are nan or infinite."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return torch.zeros(tensor.shape, dtype=torch.bool, device=tensor.device)
    return ~torch.isfinite(tensor.float() if tensor.dtype in FLOAT8 else tensor)


def extremes(tensor: torch.Tensor) -> tuple[float, float] | None:
    """Smallest and largest element of a plain floating tensor; nan when there is one; None when it is empty."""
    if tensor.numel() == 0:
        return None
    if tensor.is_complex() or tensor.dtype in FLOAT8:
        tensor = real(tensor)
    if tensor.numel() == 1:
        value = tensor.item()
        return value, value
    low, high = torch.aminmax(tensor)
    return low.item(), high.item()


def look(tensor: Any, name: str = "") -> TensorFacts:
    """Facts about `tensor`. Statistics are over the finite elements, in float64; counts are exact.

    `std` is the population value (divides by n): it says how wide these numbers are, it estimates nothing.
    Complex numbers count as two reals in the statistics and as one element in `numel` and `nonfinite`.
    """
    with unobserved():
        inner = plain(tensor)
        shape = _shape(tensor, inner)
        head: dict[str, Any] = dict(
            name=name,
            shape=shape,
            dtype=str(tensor.dtype).removeprefix("torch."),
            device=str(tensor.device),
            numel=math.prod(shape),
        )
        if inner is None or inner.numel() == 0:
            return TensorFacts(**head)
        bad = int(nonfinite(inner).sum())
        flat = real(inner).reshape(-1)
        parts = [_part(flat[i : i + CHUNK].double()) for i in range(0, flat.numel(), CHUNK)]
        facts = _join(parts)
        if inner.numel() == 1 and not inner.is_complex():
            facts["value"] = float(flat.item())
    return TensorFacts(**head, nonfinite=bad, **facts)


def _shape(tensor: torch.Tensor, inner: torch.Tensor | None) -> tuple[int, ...]:
    """Of a nested tensor, whose rows differ in length, the shape of its values."""
    try:
        return tuple(int(n) for n in tensor.shape)
    except (RuntimeError, AttributeError):
        return tuple(inner.shape) if inner is not None else ()


def _part(x: torch.Tensor) -> dict[str, Any]:
    finite = x[torch.isfinite(x)]
    part: dict[str, Any] = dict(
        n=finite.numel(),
        nan=int(torch.isnan(x).sum()),
        posinf=int((x == torch.inf).sum()),
        neginf=int((x == -torch.inf).sum()),
        zeros=int((x == 0).sum()),
    )
    if finite.numel():
        size, mean = finite.abs(), finite.mean().item()
        nonzero = size[size > 0]
        part.update(
            min=finite.min().item(), max=finite.max().item(), mean=mean, m2=(finite - mean).square().sum().item()
        )
        part.update(absmax=size.max().item(), smallest=nonzero.min().item() if nonzero.numel() else None)
    return part


def _join(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Statistics of the whole from those of its parts (Chan, Golub, LeVeque 1979 for mean and variance)."""
    facts: dict[str, Any] = {k: sum(p[k] for p in parts) for k in ("nan", "posinf", "neginf", "zeros")}
    n, mean, m2 = 0, 0.0, 0.0
    full = [p for p in parts if p["n"]]
    for p in full:
        delta, total = p["mean"] - mean, n + p["n"]
        m2 += p["m2"] + delta * delta * n * p["n"] / total
        mean += delta * p["n"] / total
        n = total
    if full:
        smallest = [p["smallest"] for p in full if p["smallest"] is not None]
        facts.update(min=min(p["min"] for p in full), max=max(p["max"] for p in full), mean=mean, std=(m2 / n) ** 0.5)
        facts.update(absmax=max(p["absmax"] for p in full), smallest_nonzero=min(smallest, default=None))
    return facts


def where(mask: torch.Tensor, limit: int = 8) -> Elements:
    """Count and first indices (C order) of the set elements of a boolean mask."""
    with unobserved():
        first = mask.nonzero()[:limit].tolist()
        return Elements(count=int(mask.sum()), total=mask.numel(), first=tuple(tuple(i) for i in first))
