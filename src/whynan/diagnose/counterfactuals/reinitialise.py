"""Parameters drawn again before the first step, or non-finite ones replaced by ordinary numbers."""

from __future__ import annotations

import math
from typing import Any

import torch

from whynan.diagnose.counterfactuals.base import experiment, snapshot_for
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.parameters import parameters, parameters_of
from whynan.tensors.many import is_finite
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot


def _from_the_beginning(inquest: Inquest) -> bool:
    if snapshot_for(inquest, "first") is None:
        return False
    known = parameters(inquest)
    return bool(inquest.modules) or known is not None and known.wide > 0


@experiment(
    "reinit", "with parameters initialised again by PyTorch's own rules", start="first", applies=_from_the_beginning
)
def reinitialised(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    return Attempt(snapshot=snapshot, until=until, prepare=lambda: _draw(inquest))


def _draw(inquest: Inquest) -> None:
    done: set[int] = set()
    with torch.no_grad():
        for root in inquest.modules:
            for module in root.modules():
                reset: Any = getattr(module, "reset_parameters", None)
                if callable(reset) and type(module).__module__.startswith("torch.nn"):
                    reset()
                    done.update(id(p) for p in module.parameters(recurse=False))
        for p in parameters_of(inquest):
            if id(p) in done or p.dim() < 2:
                continue
            # a matrix of the user's own: normal with the variance 1/fan_in (LeCun 1998), whichever axis is summed over
            fan = min(math.prod(p.shape[1:]), p.shape[0]) if p.dim() == 2 else math.prod(p.shape[1:])
            if p.std().item() * math.sqrt(fan) > 1.5 or not bool(torch.isfinite(p).all()):
                p.normal_(0.0, 1.0 / math.sqrt(max(1, fan)))


def _holds_bad_state(inquest: Inquest) -> bool:
    source = inquest.source
    return source is not None and source.kind in ("parameter", "buffer", "state") and inquest.source_tensor is not None


@experiment("mend-state", "with the non-finite entries of the tensor replaced by its mean", applies=_holds_bad_state)
def mended_state(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    tensor = inquest.source_tensor
    assert tensor is not None

    def prepare() -> None:
        if is_finite(tensor):
            return
        with torch.no_grad():
            values = tensor.data
            inquest.cleanup.callback(values.copy_, values.clone())
            good = torch.isfinite(values)
            mean = values[good].mean() if bool(good.any()) else torch.zeros((), dtype=values.dtype)
            values[~good] = mean

    return Attempt(snapshot=snapshot, until=until, prepare=prepare)
