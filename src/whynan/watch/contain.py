"""Keeping a non-finite gradient away from the weights without the host knowing of it yet.

Fused optimizers take a tensor `found_inf` and leave parameters and state alone where it is 1; GradScaler uses that.
Here the flag comes from the inf-norm of the gradients, computed where they live: it is NaN or infinite exactly if an
element is (a 2-norm would also overflow on finite values, and skip a good step).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from whynan.tensors.many import is_plain, local_values


def can_contain(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `found_inf` works here and is not in use: fused kernels for all groups, gradients already unscaled."""
    return (
        bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        and getattr(optimizer, "found_inf", None) is None
        and all(group.get("fused") for group in optimizer.param_groups)
    )


def nonfinite_flag(tensors: Sequence[Tensor]) -> Tensor | None:
    """1.0 if any element is non-finite, else 0.0, on their device; None where they have no values or several devices.

    Few launches whatever their number: a fused norm, and four more per dtype.
    """
    sizes: dict[torch.dtype, list[Tensor]] = {}
    devices = set()
    for t in tensors:
        values = t.detach() if is_plain(t) else local_values(t)
        if values is not None:
            sizes.setdefault(values.dtype, []).append(values)
            devices.add(values.device)
    if len(devices) != 1:
        return None
    with torch.no_grad():
        largest = [torch.stack(torch._foreach_norm(members, torch.inf)).amax() for members in sizes.values()]
        most = largest[0] if len(largest) == 1 else torch.stack([size.double() for size in largest]).amax()
        return torch.nan_to_num((most - most).float(), nan=1.0)  # inf - inf and NaN - NaN are NaN, others 0


def contain(optimizer: Any, flag: Tensor) -> None:
    """Let the step that follows be a skip where `flag` (on the device) is 1.0."""
    optimizer.found_inf = flag


def release(optimizer: Any) -> None:
    """After the step: as it was."""
    if hasattr(optimizer, "found_inf"):
        del optimizer.found_inf
