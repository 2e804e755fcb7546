"""Whether this rank's own gradients were bad, before they were averaged with those of the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from whynan.tensors.many import is_finite

if TYPE_CHECKING:
    from whynan.watch.snapshot import Snapshot


class OwnGradients:
    """`bad`: the first iteration in which one was not finite. Hooks of tensors run before DDP averages."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.bad: int | None = None
        self._index = 0
        self._parameters = [p for p, _ in snapshot.grads if p.requires_grad and p.is_leaf]

    @contextlib.contextmanager
    def looked_at(self, index: int) -> Iterator[None]:
        self._index = index
        handles = [p.register_hook(self._look) for p in self._parameters]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _look(self, grad: Tensor) -> None:
        if self.bad is None and not is_finite(grad):
            self.bad = self._index
