"""Holding back an update: the gradients are taken away for the duration of one `optimizer.step()`.

Every optimizer of torch leaves a parameter without a gradient entirely alone: no momentum, no weight decay, no step
count. So a held step changes nothing, whatever the kind of optimizer, and nothing has to be undone. LBFGS takes a
missing gradient for zero and returns at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


class Gate:
    """Hooks around every step, or around those of `optimizers`. `closed(optimizer)` is asked before each."""

    def __init__(self, closed: Callable[[Any], bool], optimizers: list[Any] | None = None) -> None:
        self.closed = closed
        self.after: Callable[[Any], None] | None = None  # called when a step is over
        self.copies = False  # give back copies: later writes of the program do not reach the tensors of the symptom
        self._held: dict[int, list[tuple[Tensor, Tensor]]] = {}
        if optimizers is None:
            self._handles = [
                register_optimizer_step_pre_hook(self._before),
                register_optimizer_step_post_hook(self._after),
            ]
        else:
            self._handles = [o.register_step_pre_hook(self._before) for o in optimizers]
            self._handles += [o.register_step_post_hook(self._after) for o in optimizers]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _before(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if torch.compiler.is_compiling():
            return None
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None or isinstance(optimizer, torch.optim.LBFGS):
            if self.closed(optimizer):
                self._take(optimizer)
            return None

        def guarded(*more: Any) -> Any:  # the gradients exist only after the closure has run
            loss = closure(*more)
            if self.closed(optimizer):
                self._take(optimizer)
            return loss

        return ((args[0], guarded, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": guarded})

    def _take(self, optimizer: Any) -> None:
        held = self._held.setdefault(id(optimizer), [])
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    held.append((p, p.grad))
                    p.grad = None

    def _after(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling():
            return
        for p, grad in self._held.pop(id(optimizer), ()):
            p.grad = grad.clone() if self.copies else grad
        if self.after is not None:
            self.after(optimizer)
