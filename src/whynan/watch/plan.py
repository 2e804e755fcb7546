"""What to look at for one optimizer, and when."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from whynan.tensors.many import uniform
from whynan.watch.budget import GRADIENTS, PARAMETERS, Pace

RAREST = 128  # steps; what turned bad in between is found by executing them again from a snapshot


class Plan:
    """Parameters of one optimizer and the floating-point tensors of its state, with the parameter of each."""

    __slots__ = ("of", "params", "tensors", "owners", "plain", "size", "gradients", "after", "dirty", "searches",
                 "lags", "contained")  # fmt: skip

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.of = weakref.ref(optimizer)
        self.gradients = Pace(GRADIENTS, RAREST)
        self.after = Pace(PARAMETERS, RAREST)
        self.dirty = False  # took a step since its parameters and state were looked at
        self.contained = False  # found_inf of the step under way is ours
        self.searches = _searches(optimizer)
        self.size = (-1, -1)
        self.params: list[Tensor] = []
        self.refresh(optimizer)

    def refresh(self, optimizer: torch.optim.Optimizer, anyway: bool = False) -> None:
        """Look for parameters and state again if their number changed, or `anyway` (they may have been replaced)."""
        size = (len(optimizer.state), sum([len(group["params"]) for group in optimizer.param_groups]))
        if size != self.size or anyway:
            self.size = size
            self._read(optimizer)

    def _read(self, optimizer: torch.optim.Optimizer) -> None:
        self.params = parameters(optimizer)
        self.tensors, self.owners = list(self.params), list(self.params)
        for p in self.params:
            for key, value in (optimizer.state.get(p) or {}).items():
                if isinstance(value, Tensor) and key != "step" and value.is_floating_point():
                    self.tensors.append(value)
                    self.owners.append(p)
        self.plain = uniform(self.tensors)
        self.lags = any(p.device.type not in ("cpu", "meta") for p in self.params)


def parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """Learning rate of each group. Left out where it lives on a device: reading it would wait for the device."""
    found = [group.get("lr", 0.0) for group in optimizer.param_groups]
    return [float(lr) for lr in found if type(lr) is float or not isinstance(lr, Tensor) or lr.device.type == "cpu"]


def gradients(plan: Plan) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters that have a gradient, and the gradients."""
    owners, grads = [], []
    for p in plan.params:
        grad = p.grad
        if grad is not None:
            owners.append(p)
            grads.append(grad)
    return owners, grads


def _searches(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its step tries points that it may refuse; without a line search L-BFGS takes every point it looks at."""
    lbfgs = isinstance(optimizer, torch.optim.LBFGS)
    return lbfgs and any(group.get("line_search_fn") for group in optimizer.param_groups)
