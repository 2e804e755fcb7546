"""GradScaler multiplies the loss before `backward`: the loss is what is judged, not the product."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor


class Scaled:
    """The latest product, and the loss that it was made of."""

    def __init__(self) -> None:
        self._product: weakref.ref[Tensor] | None = None
        self._loss: Tensor | None = None

    def note(self, product: Any, loss: Any) -> None:
        if isinstance(product, Tensor) and isinstance(loss, Tensor):
            self._product, self._loss = weakref.ref(product), loss.detach()  # without its graph

    def loss_of(self, tensor: Tensor) -> Tensor:
        """The loss if `tensor` is the product, else `tensor`."""
        is_product = self._product is not None and self._product() is tensor and self._loss is not None
        return self._loss if is_product else tensor  # type: ignore[return-value]

    def forget(self) -> None:
        self._product = self._loss = None

    def __bool__(self) -> bool:
        return self._product is not None
