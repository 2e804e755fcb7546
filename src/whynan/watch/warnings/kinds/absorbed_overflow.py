"""A normalisation layer gets inputs whose squares will not fit, or its running variance is infinite already.

Its output stays finite (zero, mostly), so nothing shows in the loss: the layer silently stops passing its input on.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from whynan.watch.warnings.base import Moment, Sign, Warning, warning

SHARE = 0.01  # of the value whose square overflows


@warning("absorbed-overflow")
class AbsorbedOverflow(Warning):
    def look(self, moment: Moment) -> Iterator[Sign]:
        for look in moment.looks:
            if look.what != "norm":
                continue
            limit = torch.finfo(torch.float32 if look.dtype != torch.float64 else torch.float64).max ** 0.5
            if look.value > SHARE * limit:
                yield Sign(
                    f"{look.op.removeprefix('native_')} at {look.place} gets values up to {look.value:.3g}; its "
                    f"variance overflows from {limit:.3g} on and its output will be 0",
                    look.place,
                    look.value,
                )
