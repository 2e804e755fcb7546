"""How large are the gradients of one optimizer, and do all ranks agree?"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from whynan.tensors.many import is_finite, norms


def gradient_norm(optimizer: Any) -> tuple[float, str | None]:
    """(2-norm over all gradients of one optimizer, which parameter is not finite, by group and position).

    Gradients that a GradScaler left scaled for a fused optimizer are unscaled in the norm only. A norm that overflowed
    on finite numbers is taken again in float64. nan where something is not finite.
    """
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    sizes = norms(grads)
    if not math.isfinite(sum(sizes)):
        for i, (grad, size) in enumerate(zip(grads, sizes, strict=True)):
            if not math.isfinite(size):
                if not is_finite(grad):
                    return math.nan, _where(optimizer, grad)
                sizes[i] = float(grad.detach().double().norm())
    scale = getattr(optimizer, "grad_scale", None)
    total = math.hypot(*sizes) if sizes else 0.0
    return total / float(scale) if isinstance(scale, Tensor) and float(scale) else total, None


def agree(norm: float, optimizer: Any) -> float:
    """The norm that every rank decides upon: not finite on all as soon as it is on one. One small collective.

    Replicated gradients (DDP) have the same norm everywhere, of sharded ones (FSDP) every rank has a part.
    """
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() < 2:
        return norm
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    sharded = any(hasattr(g, "to_local") for g in grads)
    on_device = distributed.get_backend() == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if on_device else torch.device("cpu")
    bad = not math.isfinite(norm)
    both = torch.tensor([float(bad), 0.0 if bad else norm**2 if sharded else norm], dtype=torch.float64, device=device)
    distributed.all_reduce(both, op=distributed.ReduceOp.SUM if sharded else distributed.ReduceOp.MAX)
    flag, size = both.tolist()
    return math.nan if flag > 0 else math.sqrt(size) if sharded else size


def many_ranks() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _where(optimizer: Any, grad: Tensor) -> str:
    for g, group in enumerate(optimizer.param_groups):
        names = group.get("param_names")  # optimizers made of named_parameters() know them
        for i, p in enumerate(group["params"]):
            if p.grad is grad:
                name = names[i] if names else f"parameter {i} of group {g}, shape {'x'.join(map(str, p.shape)) or '1'}"
                values = grad.detach()
                values = values._values() if values.is_sparse else values
                return f"gradient of {name} is {'nan' if bool(torch.isnan(values).any()) else 'inf'}"
    return "a gradient is not finite"
