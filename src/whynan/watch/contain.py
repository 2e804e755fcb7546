"""Keeping a non-finite gradient away from the weights without the host knowing of it yet.

Fused optimizers take a tensor `found_inf` and leave parameters and state alone where it is 1; GradScaler uses that.
Here the flag is the inf-norm of the gradients, computed where they live: it is NaN or infinite exactly if an element is
(a 2-norm would also overflow on finite values, and skip a good step).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from whynan.tensors.many import local_values


def can_contain(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `found_inf` works here and is not in use: fused kernels for all groups, gradients already unscaled."""
    return (
        bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        and getattr(optimizer, "found_inf", None) is None
        and all(group.get("fused") for group in optimizer.param_groups)
    )


def contain(optimizer: Any, gradients: list[Tensor]) -> Tensor | None:
    """Let the step that follows be a skip if any gradient is non-finite. The flag: 1.0 or 0.0, on their device."""
    values = [v for v in map(local_values, gradients) if v is not None]
    if not values or len({v.device for v in values}) > 1:
        return None
    with torch.no_grad():
        sizes: dict[torch.dtype, list[Tensor]] = {}
        for size in torch._foreach_norm(values, torch.inf):
            sizes.setdefault(size.dtype, []).append(size)
        bad = [(~torch.isfinite(torch.stack(members))).any() for members in sizes.values()]
        flag = torch.stack(bad).any().to(torch.float32)
    optimizer.found_inf = flag
    return flag


def release(optimizer: Any) -> None:
    """After the step: as it was."""
    if hasattr(optimizer, "found_inf"):
        del optimizer.found_inf
