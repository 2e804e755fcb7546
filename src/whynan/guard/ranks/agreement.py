"""One decision about one update, on every rank: a small collective right before each guarded step.

It has a process group of its own, so nothing of the program's is held up or reordered, and it waits with patience: a
rank that makes fewer steps than the others would otherwise make them hang without a word.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whynan.errors import UsageError
from whynan.guard.ranks.channel import many_ranks
from whynan.tensors.many import local_values


@dataclass(frozen=True)
class Agreed:
    """`norm`: over all ranks, nan if it is not finite on one, and `why` in words. One rank `speaks` for all."""

    norm: float
    why: str | None = None
    speaks: bool = True


class Agreement:
    """Of one guard. `wait`: seconds for the slowest rank to come to its step."""

    def __init__(self, wait: float) -> None:
        self.wait = wait
        self._group: Any = None

    def on(self, norm: float, why: str | None, tainted: bool, optimizer: Any, step: int) -> Agreed:
        """`norm` of this rank's gradients; `why` in words if they, or (`tainted`) its loss, are not finite.

        Replicated gradients (DDP) have the same norm everywhere; of sharded ones (FSDP) every rank has a part.
        UsageError where the others do not come.
        """
        if not many_ranks():
            return Agreed(norm if why is None else math.nan, why)
        distributed = torch.distributed
        rank, world = distributed.get_rank(), distributed.get_world_size()
        parts = sharded(optimizer)
        bad = why is not None or not math.isfinite(norm)
        code = (world * (2 if tainted else 1) + world - rank) if bad else 0  # who has seen a bad loss is heard first
        share = 0.0 if bad else norm**2 / parts if parts else norm
        everybody = self._gathered(torch.tensor([float(code), share], dtype=torch.float64), world, step)
        code = int(max(everybody[0::2]))
        if code:
            first = world - ((code - 1) % world + 1)
            words = [f"{why} on rank {first}"]
            distributed.broadcast_object_list(words, src=first, group=self._group)
            return Agreed(math.nan, words[0], first == rank)
        sizes = everybody[1::2]
        return Agreed(math.sqrt(math.fsum(sizes)) if parts else max(sizes), None, rank == 0)

    def _gathered(self, mine: Tensor, world: int, step: int) -> list[float]:
        distributed = torch.distributed
        patience = datetime.timedelta(seconds=self.wait)
        try:
            if self._group is None:
                self._group = distributed.new_group(backend="gloo", timeout=patience)
            out = [torch.empty_like(mine) for _ in range(world)]
            distributed.all_gather(out, mine, group=self._group)
        except RuntimeError as error:
            raise UsageError(
                f"guard: rank {distributed.get_rank()} waited at optimizer step {step} for the other ranks, and they "
                f"did not come within {self.wait:.0f} s, or are gone ({str(error).splitlines()[0][:120]}). skip and "
                "clip need every rank to make the same optimizer steps: leave them out of --guard for this program, "
                "or say wait=SECONDS where a rank is only slow."
            ) from None
        return [number for one in out for number in one.tolist()]


def sharded(optimizer: Any) -> float:
    """0.0 for gradients that every rank has as a whole; else how many ranks have the same part (HSDP; FSDP: 1)."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            grad = p.grad
            if grad is not None and hasattr(grad, "to_local") and local_values(grad) is not grad:
                mesh = grad.device_mesh
                same = [mesh.size(i) for i, placed in enumerate(grad.placements) if placed.is_replicate()]
                return float(math.prod(same))
    return 0.0
