"""The look at tensors that live on a device: started where they are, judged on the host when the numbers have arrived.

The alarm names the step that it is about, which is mostly the one before. Under a re-execution everything is read at
once, so that the symptom shows where it belongs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from whynan.tensors.many import device_norms, local_values
from whynan.watch.contain import can_contain, contain, release
from whynan.watch.lagged import Lagged, capturing
from whynan.watch.plan import Plan, gradients
from whynan.watch.seen import Seen, word

if TYPE_CHECKING:
    from whynan.watch.sentinel import Sentinel


class Device:
    """Sends what the sentinel wants to know and hands over what has come back."""

    def __init__(self, sentinel: Sentinel, lagged: Lagged | None = None) -> None:
        self.sentinel = sentinel
        self.lagged = lagged or Lagged()

    def loss(self, t: Tensor) -> None:
        values = local_values(t)
        if values is not None and not capturing():
            self._send(values if values.numel() == 1 else values.sum(), "loss", values.numel() == 1)

    def before_step(self, plan: Plan, optimizer: torch.optim.Optimizer, due: bool) -> None:
        """Gradients: their norms when it is time for them, and in any case a skip of the step if one is non-finite."""
        if capturing() or getattr(optimizer, "found_inf", None) is not None:
            return
        plan.refresh(optimizer)
        owners, grads = gradients(plan)
        flag = contain(optimizer, grads) if can_contain(optimizer) else None
        if flag is not None:
            plan.contained = True
            self._send(flag, "flag", plan)
        elif not due and self.sentinel.unseen is None:
            self.sentinel.unseen = self.sentinel.steps
        if due and (sizes := device_norms(grads)) is not None:
            self._send(sizes, "gradient", plan)

    def after_step(self, plan: Plan, optimizer: torch.optim.Optimizer) -> None:
        if plan.contained:
            release(optimizer)
            plan.contained = False

    def state(self, plan: Plan) -> None:
        sizes = None if capturing() else device_norms(plan.tensors)
        if sizes is not None:
            self._send(sizes, "parameter", plan)

    def arrivals(self, wait: bool = False) -> Seen | None:
        """What has arrived goes into the history; the first that is an alarm."""
        found = None
        for (what, step, backwards, detail), numbers in self.lagged.arrived(wait):
            seen = self._judge(what, step, backwards, detail, numbers)
            if seen is not None and found is None:
                seen.step = step
                found = seen
        return found

    def forget(self) -> None:
        self.lagged.forget()

    def _send(self, values: Tensor, what: str, detail: Any) -> None:
        if values.device.type == "cuda" and values.is_complex():
            values = torch.view_as_real(values)
        self.lagged.send(values, (what, self.sentinel.steps, self.sentinel.backwards, detail))

    def _judge(self, what: str, step: int, backwards: int, detail: Any, numbers: list[float]) -> Seen | None:
        sentinel = self.sentinel
        bad = next((n for n in numbers if not math.isfinite(n)), None)
        if what == "loss":
            if detail:
                sentinel.note_loss(numbers[0], backwards, step)
            return None if bad is None else Seen("loss", None, word(bad), hard=detail)
        if what == "flag":
            return Seen("gradient", None, "nan") if numbers[0] else None
        optimizer = detail.of()
        if optimizer is None:
            return None
        if what == "gradient":
            sentinel.note("grad", step, id(optimizer), numbers)
            # the gradients are gone: whether only their squares overflowed is seen when the step is executed again
            return None if bad is None else Seen("gradient", None, word(bad), hard=False)
        if bad is None and sentinel.unseen is not None and sentinel.unseen <= step:
            sentinel.unseen = None if sentinel.steps == step + 1 else step + 1
        return sentinel.judge_state(detail, numbers, optimizer)
