"""The look at tensors that live on a device: started where they are, judged on the host when the numbers have arrived.

Before every step the loss and the small gradients are looked at: what is born in a backward pass flows past them. All
gradients, and parameters and state, take a share of the device's time, which a stopwatch on the device measures; where
that is little they are looked at always. Fused optimizers skip a step whose gradients are seen to be non-finite.

The alarm names the step that it is about, which is mostly the one before. Under a re-execution everything is read at
once, so that the symptom shows where it belongs.
"""

from __future__ import annotations

import math
import time
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from whynan.tensors.many import local_values
from whynan.watch.budget import WARM_UP, Pace
from whynan.watch.contain import can_contain, contain, nonfinite_flag, release
from whynan.watch.lagged import Lagged, capturing
from whynan.watch.measuring import Launched, Measuring, read
from whynan.watch.plan import RAREST, Plan, gradients
from whynan.watch.seen import Seen, word
from whynan.watch.stopwatch import Stopwatch

if TYPE_CHECKING:
    from whynan.watch.sentinel import Sentinel

SMALL = 1 << 16  # elements of a gradient that is looked at before every step
QUICK = 0.005  # share of the host's time for these, which hides behind the device's unless launches are what costs
GRADIENTS, STATE = 0.0015, 0.0005  # shares of the device's time


class Looks:
    """What is remembered of one optimizer."""

    def __init__(self) -> None:
        self.quick = Pace(QUICK, RAREST)
        self.gradients, self.state = Measuring(), Measuring()
        self._of: list[Tensor] | None = None
        self._small: list[Tensor] = []

    def small(self, plan: Plan) -> list[Tensor]:
        """Parameters whose gradients cost next to nothing to look at; at least one."""
        if self._of is not plan.params:
            self._of = plan.params
            self._small = [p for p in plan.params if p.numel() <= SMALL]
            self._small = self._small or sorted(plan.params, key=lambda p: p.numel())[:1]
        return self._small


class Device:
    """Sends what the sentinel wants to know and hands over what has come back."""

    def __init__(self, sentinel: Sentinel, lagged: Lagged | None = None, stopwatch: Stopwatch | None = None) -> None:
        timed = lagged is None and torch.cuda.is_available()
        self.sentinel = sentinel
        self.lagged = lagged or Lagged()
        self.stopwatch = stopwatch or Stopwatch((lambda: torch.cuda.Event(enable_timing=True)) if timed else None)
        self._looks: weakref.WeakKeyDictionary[torch.optim.Optimizer, Looks] = weakref.WeakKeyDictionary()
        self._clock = (-1, 0.0)  # steps, and when
        self._step = 0.0  # seconds, lately

    # sending ---------------------------------------------------------------------------------------------------

    def loss(self, t: Tensor) -> None:
        values = local_values(t)
        if values is not None and not capturing():
            self._send(values if values.numel() == 1 else values.sum(), "loss", values.numel() == 1)

    def before_step(self, plan: Plan, optimizer: torch.optim.Optimizer, due: bool) -> None:
        """Gradients, all of them or the small ones; the step will be skipped if what is seen is not finite."""
        if capturing() or getattr(optimizer, "found_inf", None) is not None:
            return
        plan.refresh(optimizer)
        looks, exact, launched = self._of(optimizer), can_contain(optimizer), None
        if due:
            owners, grads = gradients(plan)
            launched = self._measure("gradient", looks.gradients, plan, grads, exact, owners)
        if launched is not None:
            flag = launched.flag if exact else None
        else:
            flag = self._quick(looks, plan) if exact else None
            if self.sentinel.unseen is None and (flag is None or len(looks.small(plan)) < len(plan.params)):
                self.sentinel.unseen = self.sentinel.steps
        if flag is not None:
            plan.contained = True
            contain(optimizer, flag)

    def after_step(self, plan: Plan, optimizer: torch.optim.Optimizer) -> None:
        if plan.contained:
            release(optimizer)
            plan.contained = False

    def state(self, plan: Plan) -> None:
        optimizer = plan.of()
        if optimizer is not None and not capturing():
            self._measure("parameter", self._of(optimizer).state, plan, plan.tensors, False, plan.params)

    def _measure(
        self, what: str, measuring: Measuring, plan: Plan, tensors: list[Tensor], exact: bool, owners: list[Tensor]
    ) -> Launched | None:
        way = [""]
        if not tensors:
            return None
        with self.stopwatch.over((what, measuring, plan, way, self.sentinel.steps), tensors[0].device):
            launched = measuring.launch(tensors, exact)
        if launched is not None:
            way[0] = launched.way
            self._send(launched.numbers, what, (plan, launched.way, launched.flag is not None, owners))
        return launched

    def _quick(self, looks: Looks, plan: Plan) -> Tensor | None:
        """The small gradients: little to read, few launches."""
        if not looks.quick.due():
            return None
        start = time.perf_counter()
        flag = nonfinite_flag([p.grad for p in looks.small(plan) if p.grad is not None])
        if flag is not None:
            self._send(flag, "flag", None)
        now = time.perf_counter()
        looks.quick.done(now - start, now)
        return flag

    def _send(self, values: Tensor, what: str, detail: Any) -> None:
        self.lagged.send(values, (what, self.sentinel.steps, self.sentinel.backwards, detail))

    def _of(self, optimizer: torch.optim.Optimizer) -> Looks:
        looks = self._looks.get(optimizer)
        if looks is None:
            looks = self._looks[optimizer] = Looks()
        return looks

    # what has come back ----------------------------------------------------------------------------------------

    def arrivals(self, wait: bool = False) -> Seen | None:
        """What has arrived goes into the history; the first that is an alarm."""
        if capturing():  # even to ask an event would spoil the graph
            return None
        found = None
        for (what, step, backwards, detail), numbers in self.lagged.arrived(wait):
            seen = self._judge(what, step, backwards, detail, numbers)
            if seen is not None and found is None:
                seen.step = step
                found = seen
        for (what, measuring, plan, way, step), seconds in self.stopwatch.finished():
            if way[0]:
                measuring.took(way[0], seconds)
                self._charge(what, plan, measuring, seconds, self.sentinel.steps - step)
        return found

    def forget(self) -> None:
        self.lagged.forget()

    def _charge(self, what: str, plan: Plan, measuring: Measuring, seconds: float, gone: int) -> None:
        """Put the next look off until this one, `gone` steps ago, has kept to its share of the device's time."""
        pace, share = (plan.gradients, GRADIENTS) if what == "gradient" else (plan.after, STATE)
        step = self._seconds_a_step()
        if measuring.turns > WARM_UP and not pace.urgent and step > 0.0:
            every = min(pace.rarest, math.ceil(seconds / (step * share) - 0.1))
            pace.left = max(pace.left, every - gone + 1)

    def _seconds_a_step(self) -> float:
        steps, then = self._clock
        now = time.perf_counter()
        if self.sentinel.steps > steps >= 0:
            latest = (now - then) / (self.sentinel.steps - steps)
            self._step += (0.2 if self._step else 1.0) * (latest - self._step)
        if self.sentinel.steps != steps:
            self._clock = (self.sentinel.steps, now)
        return self._step

    def _judge(self, what: str, step: int, backwards: int, detail: Any, numbers: list[float]) -> Seen | None:
        sentinel = self.sentinel
        if what == "loss":
            if detail:
                sentinel.note_loss(numbers[0], backwards, step)
            bad = numbers[0]
            return None if math.isfinite(bad) else Seen("loss", None, word(bad), hard=detail)
        if what == "flag":
            return Seen("gradient", None, "nan") if numbers[0] else None
        plan, way, flagged, owners = detail
        optimizer = plan.of()
        if optimizer is None:
            return None
        sizes = read(way, flagged, numbers)
        if what == "gradient":
            sentinel.note("grad", step, id(optimizer), sizes.norms)
            if sizes.largest and sentinel.recording:
                extremes = max(sizes.largest), min(sizes.smallest)
                sentinel.history.grad_extremes.append((step, id(optimizer), *extremes))
            if sizes.certain is False:
                return None
            # in doubt the gradients are gone: whether only their squares overflowed is seen when the step is repeated
            seen = Seen("gradient", None, "nan", hard=sizes.certain is True)
            seen.value = word(next((n for n in sizes.norms if not math.isfinite(n)), math.nan))
            seen.owner = owners[sizes.bad.index(True)] if sizes.bad is not None else None
            return seen
        if math.isfinite(sum(sizes.norms)) and sentinel.unseen is not None and sentinel.unseen <= step:
            sentinel.unseen = None if sentinel.steps == step + 1 else step + 1
        return sentinel.judge_state(plan, sizes.norms, optimizer)
