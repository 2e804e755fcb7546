"""A guard's decision about gradients that live on a device, without waiting for the device.

Whether they are finite is known there only. A fused optimizer takes the answer from there (`found_inf`, see
`watch.contain`): its kernel leaves weights, momenta and step counts alone. A clipping factor is computed and applied
there as well. What was decided is read when it arrives, mostly one step later, and counted then. Optimizers
without fused kernels need the answer on the host: one number is waited for at each of their steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whynan.guard.ranks.agreement import sharded
from whynan.guard.ranks.channel import many_ranks
from whynan.tensors.many import device_norms
from whynan.watch.contain import can_contain, contain, nonfinite_flag, release
from whynan.watch.lagged import Lagged


@dataclass(frozen=True)
class Arrived:
    """What was decided about the update of `step`."""

    step: int
    optimizer: int  # its identity
    norm: float  # of the gradients, unscaled and before clipping
    bad: bool  # a gradient was not finite
    held: bool  # then the update was left out
    scaler: bool  # GradScaler decided that


class OnDevice:
    """`anywhere`: also for gradients on the CPU (tests)."""

    def __init__(self, lagged: Lagged | None = None, anywhere: bool = False) -> None:
        self._lagged, self._anywhere = lagged, anywhere
        self._contained: set[int] = set()

    def applies(self, optimizer: Any) -> bool:
        """All gradients on a device, and an optimizer that can leave out a step by itself."""
        fused = can_contain(optimizer) or isinstance(getattr(optimizer, "found_inf", None), Tensor)
        return fused and (self._anywhere or not any(grad.is_cpu for grad in gradients(optimizer)))

    def before(self, optimizer: Any, step: int, skip: bool, limit: float | None, told: bool = True) -> None:
        """Start all that the step needs. `skip`: bad means left out; `limit`: of the norm; `told`: it counts."""
        grads = gradients(optimizer)
        scaler = isinstance(getattr(optimizer, "found_inf", None), Tensor)
        sizes = device_norms(grads)
        if sizes is None:
            return
        with torch.no_grad():
            flag = optimizer.found_inf if scaler else nonfinite_flag(grads)
            norm = torch.linalg.vector_norm(sizes)
            if isinstance(scale := getattr(optimizer, "grad_scale", None), Tensor):
                norm = norm / scale
            both = torch.stack([norm, norm.new_zeros(()) if flag is None else flag.to(norm).reshape(())])
            if many_ranks():
                both = _agreed(both, optimizer)
            if skip and not scaler:
                contain(optimizer, both[1].clone())
                self._contained.add(id(optimizer))
            if limit is not None:
                factor = (limit / both[0]).clamp(max=1.0)
                torch._foreach_mul_(grads, torch.where(torch.isfinite(both[0]), factor, torch.ones_like(factor)))
        if told:
            self._lagged = self._lagged or Lagged()
            self._lagged.send(both, (step, id(optimizer), skip, scaler))

    def after(self, optimizer: Any) -> None:
        if id(optimizer) in self._contained:
            self._contained.discard(id(optimizer))
            release(optimizer)

    def arrived(self, wait: bool = False) -> Iterator[Arrived]:
        if self._lagged is not None:
            for (step, optimizer, skip, scaler), (norm, flag) in self._lagged.arrived(wait):
                yield Arrived(step, optimizer, norm, bool(flag), skip or scaler, scaler)

    def forget(self) -> None:
        """What is under way speaks of steps that were undone."""
        if self._lagged is not None:
            self._lagged.forget()


def gradients(optimizer: Any) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def _agreed(both: Tensor, optimizer: Any) -> Tensor:
    """The same norm and the same flag on every rank: one collective on the device."""
    world = torch.distributed.get_world_size()
    parts = sharded(optimizer)
    norm, flag = both.unbind()
    together = torch.stack([norm**2 / parts if parts else norm / world, (flag > 0).to(norm)])
    torch.distributed.all_reduce(together)
    return torch.stack([together[0].sqrt() if parts else together[0], together[1].clamp(max=1.0)])
