"""Programs that only evaluate have no loss and no step to look at: their symptom is a NaN that the model returns.

Looks at what the outermost module call returns, until the first backward or optimizer step: from then on the program
trains and the sentinel knows better. Infinities are no symptom here, masked logits are full of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from whynan.tensors.many import local_values


class Evaluation:
    """`bad` is the first outermost call (counted from 0) that returned NaN, `module` its class, or None."""

    def __init__(self) -> None:
        self.calls = 0
        self.bad: int | None = None
        self.module: str | None = None
        self.on_bad: Callable[[int, list[Tensor]], None] | None = None
        self._depth = 0

    def enter(self, module: nn.Module, args: Any) -> None:
        if not torch.compiler.is_compiling():
            self._depth += 1

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        self._depth -= 1
        if self._depth > 0:
            return
        self._depth = 0
        self.calls += 1
        if self.bad is None:
            tensors = [t for t in _tensors(output) if _has_nan(t)]
            if tensors:
                self.bad, self.module = self.calls - 1, type(module).__name__
                if self.on_bad is not None:
                    self.on_bad(self.bad, tensors)


def _has_nan(tensor: Tensor) -> bool:
    values = local_values(tensor)
    return values is not None and bool(torch.isnan(values.sum())) and bool(torch.isnan(values).any())


def _tensors(output: Any, depth: int = 0) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    if depth > 3:
        return []
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        return [t for item in output[:64] for t in _tensors(item, depth + 1)]
    return []
