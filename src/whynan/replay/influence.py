"""Which elements of an op's inputs had a say in certain elements of its outputs.

Exact rules first: element by element for pointwise ops, by the choice that was made for `where` and `masked_fill`, by
rows and columns for products of matrices. Else the op is run on ordinary random numbers of the same shapes, and the
gradient is followed from those output elements (integers, masks and indices stay the real ones, so gathers, scatters,
views and joins follow the true route). What cannot be run that way counts as influenced by everything.
"""

from __future__ import annotations

from typing import Any

import torch

from whynan.replay.reevaluate import NotRepeatable, call, repeatable
from whynan.replay.trace import OpRecord, TensorRef
from whynan.tensors.look import FLOAT8

Masks = dict[int, torch.Tensor]  # position in record.inputs or record.outputs -> mask of its shape

_ELEMENTWISE = frozenset(
    "_to_copy clone copy_ native_dropout mse_loss_backward bernoulli_ masked_fill masked_fill_ lift_fresh "
    "softplus_backward softplus prelu _prelu_kernel detach alias".split()
)
_PRODUCTS = {
    "mm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "bmm": ("self", "mat2"),
    "baddbmm": ("batch1", "batch2"),
}
_LARGEST = ("max", "amax", "aminmax", "topk", "sort", "cummax", "median", "nanmedian", "kthvalue", "mode")
_SMALLEST = ("min", "amin", "cummin")


def influence(record: OpRecord, wanted: Masks) -> Masks:
    """Masks of the floating inputs whose elements could reach the `wanted` elements of the outputs."""
    floats = [i for i, ref in enumerate(record.inputs) if ref.area.floating and ref.area.shape.numel()]
    if record.plan.overwrites:
        floats = [i for i in floats if record.inputs[i].name.split("[")[0] not in record.plan.written]
    if not floats:
        return {}
    if record.plan.base.startswith(("_foreach_", "_fused_", "_amp_foreach")):
        return _listwise(record, wanted, floats)
    if record.plan.pointwise or record.plan.base in _ELEMENTWISE:
        found = _pointwise(record, wanted, floats)
        if found is not None:
            return found
    if record.plan.base in _PRODUCTS and len(wanted) == 1:
        return _product(record, next(iter(wanted.values())), floats)
    for attempt in (torch.float64, None):
        try:
            return _by_gradient(record, wanted, floats, attempt)
        except Exception:  # no kernel, no derivative, not repeatable: then the coarser answer below
            continue
    return everything(record, floats)


def everything(record: OpRecord, floats: list[int] | None = None) -> Masks:
    chosen = range(len(record.inputs)) if floats is None else floats
    shapes = {i: record.inputs[i].area for i in chosen if record.inputs[i].area.floating}
    return {i: torch.ones(a.shape, dtype=torch.bool, device=a.device) for i, a in shapes.items()}


def _shrink(mask: torch.Tensor, shape: torch.Size) -> torch.Tensor | None:
    """The mask of an operand that was broadcast to the shape of `mask`; None when the shapes do not fit."""
    if mask.shape == shape:
        return mask
    extra = mask.dim() - len(shape)
    if extra < 0 or any(s not in (1, m) for s, m in zip(shape, mask.shape[extra:])):
        return None
    axes = [*range(extra), *(extra + i for i, s in enumerate(shape) if s == 1 and mask.shape[extra + i] != 1)]
    for axis in axes:
        mask = mask.any(axis, keepdim=True)
    return mask.reshape(shape)


def _pointwise(record: OpRecord, wanted: Masks, floats: list[int]) -> Masks | None:
    shape = max((record.outputs[i].shape for i in wanted), key=len)
    merged: torch.Tensor | None = None
    for i, mask in wanted.items():
        if record.outputs[i].shape == shape:
            merged = mask if merged is None else merged | mask
    assert merged is not None
    chosen = _choice(record, shape)
    found: Masks = {}
    for i in floats:
        ref = record.inputs[i]
        mask = merged & chosen[ref.name] if ref.name in chosen else merged
        fitted = _shrink(mask, ref.shape)
        if fitted is None:
            return None
        found[i] = fitted
    return found


def _choice(record: OpRecord, shape: torch.Size) -> dict[str, torch.Tensor]:
    """For ops that choose between inputs: argument name -> where it was chosen."""
    refs = {ref.name: ref for ref in record.inputs}
    switch = refs.get("condition" if record.plan.base == "where" else "mask")
    if record.plan.base not in ("where", "masked_fill", "masked_fill_") or switch is None or switch.value is None:
        return {}
    on = switch.value.bool().expand(shape)
    return {"self": on, "other": ~on} if record.plan.base == "where" else {"self": ~on, "value": on}


def _product(record: OpRecord, mask: torch.Tensor, floats: list[int]) -> Masks:
    """Element (i, j) of a product of matrices comes from row i of the left and column j of the right one."""
    left, right = _PRODUCTS[record.plan.base]
    found: Masks = {}
    for i in floats:
        ref = record.inputs[i]
        if ref.name == left:
            found[i] = mask.any(-1, keepdim=True).expand(ref.shape)
        elif ref.name == right:
            found[i] = mask.any(-2, keepdim=True).expand(ref.shape)
        else:  # the summand of addmm and its like
            fitted = _shrink(mask, ref.shape)
            found[i] = fitted if fitted is not None else whole(ref)
    return found


def _listwise(record: OpRecord, wanted: Masks, floats: list[int]) -> Masks:
    """`_foreach_` and `_fused_` ops: the i-th outputs depend, element by element, on the i-th inputs."""
    reduces = "norm" in record.plan.base or record.plan.base in ("_foreach_max",)
    found: Masks = {}
    for position, mask in wanted.items():
        number = _number(record.outputs[position], position)
        for i in floats:
            ref = record.inputs[i]
            if _number(ref, None) not in (None, number):
                continue
            part = None if reduces else _shrink(mask, ref.shape)
            if part is None:
                part = torch.ones(ref.shape, dtype=torch.bool, device=ref.device)
            found[i] = found[i] | part if i in found else part
    return found


def _number(ref: TensorRef, otherwise: int | None) -> int | None:
    """The place of a tensor in its list: "self[3]" gives 3."""
    head, bracket, tail = ref.name.rpartition("[")
    return int(tail[:-1]) if bracket and tail[:-1].isdigit() else otherwise


def _by_gradient(record: OpRecord, wanted: Masks, floats: list[int], dtype: torch.dtype | None) -> Masks:
    if not repeatable(record):
        raise NotRepeatable(record.op)
    leaves: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(0)  # our own: the user's random state is not touched

    def operand(ref: TensorRef) -> torch.Tensor:
        if not ref.area.floating:
            if ref.value is None:
                raise NotRepeatable(ref.name)
            return ref.value.clone()
        kind = dtype or ref.dtype
        if kind in FLOAT8:
            raise NotRepeatable("float8")
        numbers = torch.rand(ref.shape, generator=generator, dtype=torch.float64) + 0.5
        stand_in = _extreme(record, ref, numbers).to(device=ref.device, dtype=_like(ref.dtype, kind))
        if ref.name in {record.inputs[i].name for i in floats}:
            leaves[ref.name] = stand_in.requires_grad_()
            return stand_in * 1 if ref.name.split("[")[0] in record.plan.written else stand_in
        return stand_in

    with torch.enable_grad(), torch.autocast(record.inputs[0].device.type, enabled=False):
        outputs = call(record, operand, dtype)
        reached, seeds = [], []
        for i, mask in wanted.items():
            if i < len(outputs) and outputs[i].requires_grad and outputs[i].shape == mask.shape:
                reached.append(outputs[i])
                weights = torch.rand(mask.shape, generator=generator, dtype=torch.float64) + 0.5
                seeds.append((weights.to(mask.device) * mask).to(outputs[i].dtype))
        if not reached:
            raise NotRepeatable("no derivative")
        names = list(leaves)
        grads = torch.autograd.grad(reached, [leaves[n] for n in names], seeds, allow_unused=True)
    by_name = dict(zip(names, grads))
    found: Masks = {}
    for i in floats:
        ref = record.inputs[i]
        grad = by_name.get(ref.name)
        found[i] = torch.zeros(ref.shape, dtype=torch.bool, device=ref.device) if grad is None else grad != 0
    return found


def _like(dtype: torch.dtype, real: torch.dtype) -> torch.dtype:
    if not dtype.is_complex:
        return real if real.is_floating_point else dtype
    return torch.complex128 if real is torch.float64 else dtype


def _extreme(record: OpRecord, ref: TensorRef, numbers: torch.Tensor) -> torch.Tensor:
    """For ops that pick the largest or smallest, let the elements that were bad be the ones picked."""
    base = record.plan.base.split("_with_")[0].removeprefix("adaptive_").removesuffix("_backward")
    side = 100.0 if base.startswith("max_pool") or base in _LARGEST else -100.0 if base in _SMALLEST else None
    mask = ref.area.mask() if side is not None else None
    return numbers if side is None or mask is None else torch.where(mask.to(numbers.device), side, numbers)


def whole(ref: TensorRef) -> torch.Tensor:
    return torch.ones(ref.shape, dtype=torch.bool, device=ref.device)


def sanitized(ref: TensorRef, mask: torch.Tensor | None = None) -> torch.Tensor:
    """The values of `ref` with its bad elements (or those of `mask`) replaced by an ordinary 0.5."""
    value = ref.value
    if value is None:
        raise NotRepeatable(ref.name)
    bad = ref.area.mask() if mask is None else mask
    copy: Any = value.detach().clone()
    copy[bad] = 0.5
    return copy
