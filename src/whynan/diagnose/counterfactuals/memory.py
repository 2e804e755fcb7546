"""Memory that is zeroed when it is allocated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from whynan.diagnose.counterfactuals.base import experiment
from whynan.diagnose.inquest import Inquest
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot

ALLOCATING = frozenset({torch.empty, torch.empty_like, torch.empty_strided, Tensor.new_empty, torch.empty_permuted})


class Zeroed(TorchFunctionMode):
    """`torch.empty` and its kin give zeros."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in ALLOCATING and isinstance(result, Tensor):
            with torch.no_grad():
                result.zero_()
        return result


def _allocates(inquest: Inquest) -> bool:
    """Is memory left uninitialised while an iteration runs? What was allocated before cannot be zeroed any more."""
    return inquest.trace is not None and any(
        r.plan.base.startswith(("empty", "new_empty")) for r in inquest.trace.records
    )


@experiment("zero-memory", "with memory zeroed when it is allocated", applies=_allocates)
def zeroed_memory(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    return Attempt(snapshot=snapshot, until=until, around=lambda index: Zeroed())
