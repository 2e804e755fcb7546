"""How large are the gradients of one optimizer?"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from whynan.guard.device import gradients
from whynan.tensors.many import is_finite, norms


def gradient_norm(optimizer: Any) -> tuple[float, str | None]:
    """(2-norm over all gradients of one optimizer, which parameter is not finite, by group and position).

    Gradients that a GradScaler left scaled for a fused optimizer are unscaled in the norm only. A norm that overflowed
    on finite numbers is taken again in float64. nan where something is not finite.
    """
    grads = gradients(optimizer)
    sizes = norms(grads, plain=set(map(type, grads)) == {Tensor})  # of DTensors they would be a collective
    if not math.isfinite(sum(sizes)):
        for i, (grad, size) in enumerate(zip(grads, sizes, strict=True)):
            if not math.isfinite(size):
                if not is_finite(grad):
                    return math.nan, _where(optimizer, grad)
                sizes[i] = float(grad.detach().double().norm())
    scale = getattr(optimizer, "grad_scale", None)
    total = math.hypot(*sizes) if sizes else 0.0
    return total / float(scale) if isinstance(scale, Tensor) and float(scale) else total, None


def bad_rate(optimizer: Any) -> str | None:
    """A schedule can divide by zero: such an update is bad whatever its gradients. In words; None for a finite rate."""
    for group in optimizer.param_groups:
        rate = group.get("lr")
        if isinstance(rate, float) and not math.isfinite(rate):
            return f"the learning rate is {rate}"
    return None


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
