"""The always-on look: the loss when `backward` is called, gradients before a step, parameters and state after it.

What it sees goes to one function (`alarm`). It alarms on what would hurt training, and looks twice before: a norm that
overflowed on finite values is none, a step that GradScaler skips is none, an infinite trial point of a line search is
none, and a tensor that was infinite from the beginning is only an alarm once it turns into NaN.

How often: the loss always. Gradients before every step while that keeps to its share of the time (`budget`), and then
no non-finite gradient reaches the weights; parameters and state more rarely, and always before a snapshot. What was
passed over is found by executing the steps since the last clean look again, where everything is looked at.
On a device nothing is waited for: see `lagged` and `contain`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from whynan.tensors.many import is_finite, local_values, norms
from whynan.watch.budget import Level, Pace
from whynan.watch.device import Device
from whynan.watch.history import History
from whynan.watch.lagged import Lagged
from whynan.watch.plan import Plan, gradients, parameters, rates
from whynan.watch.scaled import Scaled
from whynan.watch.seen import Seen, word

SKIPPED_IN_A_ROW = 50  # GradScaler halves its scale with every skip: 2**-50 leaves no scale to search
URGENT = 8  # steps that are all looked at after the loss jumped
_READABLE = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})


class Sentinel:
    """Counts steps, keeps the history, and calls `alarm` with what it sees."""

    def __init__(self, alarm: Callable[[Seen], None], lagged: Lagged | None = None) -> None:
        """`lagged`: read everything through it, whatever the device (None: only what is not on the CPU)."""
        self.alarm = alarm
        self.steps = 0
        self.backwards = 0
        self.history = History()
        self._note_loss = self.history.loss.append
        self.recording = True  # off while an iteration is executed again
        self.seconds = 0.0  # of looks and snapshots; what every step costs besides, some microseconds, is not counted
        self.on_step: Callable[[], None] | None = None  # after every step
        self.on_news: Callable[[], None] | None = None  # after a step: from `wake` on
        self.wake: float = 0  # steps
        self.far = False  # loss or gradients are far above their level
        self.on_looked: Callable[[], None] = lambda: None  # parameters and state were looked at
        self.probe: list[Any] | None = None  # collects fingerprints during a re-execution; then every look is made
        self.unseen: int | None = None  # the first step, since all was looked at, whose gradients were not
        self.looked = False  # set by every look at parameters and state
        self.device = Device(self, lagged) if lagged is not None else None
        self._all_lag = lagged is not None
        self._nonfinite: dict[int, tuple[Tensor, bool]] = {}  # tensors that are known to be so, and "is NaN"
        self._plans: dict[int, Plan] = {}
        self._trials: float = math.inf  # calls of backward after which the loss is that of a point a line search tries
        self._scaled = Scaled()
        self._skips = 0
        self._collapsed = False  # GradScaler skipped so many steps that it counts as a symptom
        self._level = Level()  # of the loss
        self._gradients: dict[int, Level] = {}  # of the logarithm of the norm, by optimizer

    # events ----------------------------------------------------------------------------------------------------

    def backward(self, tensors: Sequence[Any]) -> None:
        """`torch.autograd.backward(tensors)` is about to run."""
        self.backwards += 1
        if len(tensors) == 1 and self.device is None and not self._scaled:  # nearly always
            t = tensors[0]
            if type(t) is Tensor and t.is_cpu and self.probe is None:
                level = self._level
                try:
                    value = t.item()
                    if level.low <= value <= level.high and len(level.waiting) < level.BATCH:
                        level.waiting.append(value)
                        self._note_loss((self.backwards, self.steps, value))
                        return
                except (RuntimeError, TypeError):  # several elements, or wrapped by functorch; a complex number
                    pass
        if self.device is not None and (late := self._arrived()) is not None:
            self.alarm(late)
        seen = None
        for t in tensors:
            if not isinstance(t, Tensor):
                continue
            t = self._scaled.loss_of(t)
            if self.probe is None and (self._all_lag or not t.is_cpu):
                self._device().loss(t)
                continue
            value = self._loss(t)
            if not math.isfinite(value) and seen is None and self.backwards <= self._trials:
                seen = Seen("loss", None, word(value), [t], self.steps)
        if seen is not None:
            self.alarm(seen)

    def before_step(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._skips = 0
        plan = self._plans.get(id(optimizer))
        if plan is None or plan.of() is not optimizer:
            plan = self._meet(optimizer)
        if len(args) > 1 and args[1] is not None or kwargs and kwargs.get("closure") is not None:
            if plan.searches:
                self._trials = self.backwards + 1  # the first is the point at which training is
            return  # gradients do not exist yet
        pace = plan.gradients
        pace.left -= 1
        if self.probe is not None or pace.left <= 0:
            self._look_at_gradients(plan, optimizer)
        elif plan.lags or self._all_lag:
            self._device().before_step(plan, optimizer, due=False)
        elif self.unseen is None:
            self.unseen = self.steps

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        plan = self._plans.get(id(optimizer)) or self._meet(optimizer)
        if plan.searches:
            self._trials = math.inf
        if plan.contained:
            self._device().after_step(plan, optimizer)
        plan.dirty = True
        plan.after.left -= 1
        seen = self._look_at(plan) if self.probe is not None or plan.after.left <= 0 else None
        self.steps += 1
        if self.on_step is not None:
            self.on_step()
        if self.steps >= self.wake and self.on_news is not None and self.recording:
            self.on_news()
        if seen is not None:
            self.alarm(seen)

    def last_look(self) -> Seen | None:
        """At the end of the program: what is still on its way, and what the pace left out."""
        late = self._arrived(wait=True)
        return late if late is not None else self.look_everywhere()

    def look_everywhere(self) -> Seen | None:
        """Now, between two steps: parameters and state of all optimizers that stepped since they were looked at."""
        for plan in list(self._plans.values()):
            if plan.dirty and (seen := self._look_at(plan)) is not None:
                seen.step = max(0, self.steps - 1)
                return seen
        return None

    @property
    def fresh(self) -> bool:
        """Every optimizer was looked at after its latest step."""
        return not any([plan.dirty for plan in self._plans.values()])

    def buffers(self, tensors: list[Tensor]) -> Seen | None:
        """Between two iterations: did one of these buffers turn non-finite that was not?"""
        if not tensors:
            return None
        sizes = norms(tensors)
        if math.isfinite(sum(sizes)):
            return None
        if (seen := self._first(tensors, tensors, sizes, "buffer")) is not None:
            seen.hard = False
        return seen

    def scaled(self, output: Any, original: Any) -> None:
        """GradScaler multiplied a loss."""
        self._scaled.note(output, original)

    def scaler_skipped(self, optimizer: torch.optim.Optimizer) -> None:
        """GradScaler skipped a step. That is its search for a scale, unless it never finds one."""
        self._skips += 1
        if self._skips == SKIPPED_IN_A_ROW or (self._skips and self.probe is not None and self._collapsed):
            self._collapsed = True
            owners = [p for p in parameters(optimizer) if p.grad is not None]
            grads = [p.grad for p in owners if p.grad is not None]
            seen = self._first(grads, owners, norms(grads), "gradient")
            if seen is not None:
                self.alarm(seen)

    def reset(self) -> None:
        """Forget what is only meaningful within one execution of an iteration."""
        self._trials, self._skips = math.inf, 0
        self._scaled.forget()
        if self.device is not None:
            self.device.forget()

    def accept(self, tensors: Iterable[Tensor]) -> None:
        """These are non-finite on purpose."""
        for t in tensors:
            values = local_values(t)
            self._nonfinite[id(t)] = (t, values is not None and bool(torch.isnan(values).any()))

    # looks -----------------------------------------------------------------------------------------------------

    def _loss(self, t: Tensor) -> float:
        """The number, noted; of several elements NaN if one is bad; 0.0 where none can be read."""
        if t.dim() == 0 and type(t) is Tensor and t.dtype in _READABLE:
            try:
                value: float = t.item()
            except RuntimeError:  # wrapped by functorch
                return 0.0
            self.note_loss(value, self.backwards, self.steps)
            return value
        values = local_values(t)
        if values is None:
            return 0.0
        if values.numel() > 1:
            return 0.0 if is_finite(values) else math.nan
        value = values.item()
        self.note_loss(value, self.backwards, self.steps)
        return value

    def _look_at_gradients(self, plan: Plan, optimizer: torch.optim.Optimizer) -> None:
        start = time.thread_time()
        if self.recording:
            self.history.lr.append((self.steps, id(optimizer), rates(optimizer)))
        seen = None
        if self.probe is None and self._lags(plan):
            self._device().before_step(plan, optimizer, due=True)
        elif not self._skipped_on_device(optimizer):
            plan.refresh(optimizer)
            owners, grads = gradients(plan)
            sizes = norms(grads, plan.plain)
            if isinstance(scale := getattr(optimizer, "grad_scale", None), Tensor):  # unscaled in the fused kernel only
                sizes = [size / scale.item() for size in sizes]
            self.note("grad", self.steps, id(optimizer), sizes)
            if not math.isfinite(sum(sizes)):
                seen = self._first(grads, owners, sizes, "gradient")
        if self.probe is None:
            self._took(plan.gradients, start)
        if seen is not None:
            self.alarm(seen)

    def _look_at(self, plan: Plan) -> Seen | None:
        """Parameters and optimizer state after a step."""
        optimizer = plan.of()
        if optimizer is None:
            plan.dirty = False
            return None
        start = time.thread_time()
        plan.refresh(optimizer, anyway=self.probe is not None)
        seen = None
        if self.probe is None and self._lags(plan):
            self._device().state(plan)
        else:
            seen = self.judge_state(plan, norms(plan.tensors, plan.plain), optimizer)
        self.looked = True
        self.on_looked()
        if self.probe is None:
            plan.dirty = False
            if seen is None and not self._lags(plan) and self.fresh:
                self.unseen = None  # a bad gradient would have left its mark
            self._took(plan.after, start)
        return seen

    def _took(self, pace: Pace, start: float) -> None:
        now = time.thread_time()
        self.seconds += now - start
        pace.done(now - start, now)

    def judge_state(self, plan: Plan, sizes: list[float], optimizer: torch.optim.Optimizer) -> Seen | None:
        """`sizes`: norms of the plan's tensors, parameters first."""
        count = len(plan.params)
        self.note("param", self.steps, id(optimizer), sizes[:count])
        if math.isfinite(sum(sizes)):
            return None
        return self._first(plan.params, plan.params, sizes[:count], "parameter") or self._first(
            plan.tensors[count:], plan.owners[count:], sizes[count:], "state", optimizer
        )

    def note_loss(self, value: float, backwards: int, step: int) -> None:
        if self.probe is not None:
            self.probe.append(("loss", step, value))
        if self.recording:
            self.history.loss.append((backwards, step, value))
            jumps, far = self._level.take(value)
            if far:
                self.far, self.wake = True, 0
            for pace in [p for plan in self._plans.values() for p in (plan.gradients, plan.after)] if jumps else []:
                pace.hurry(URGENT)

    def note(self, kind: str, step: int, optimizer: int, sizes: list[float]) -> None:
        if self.probe is not None:
            self.probe.append((kind, step, sizes))
        if self.recording:
            series = self.history.grad_norms if kind == "grad" else self.history.param_norms
            series.append((step, optimizer, sizes))
            if kind == "grad" and self._grows(optimizer, sum(sizes)):
                self.far, self.wake = True, 0

    def _grows(self, optimizer: int, size: float) -> bool:
        """Are these gradients far above what they have been?"""
        level = self._gradients.get(optimizer)
        if level is None:
            level = self._gradients[optimizer] = Level()
        return size > 0 and level.take(math.log(size))[1]

    # ------------------------------------------------------------------------------------------------------------

    def _meet(self, optimizer: torch.optim.Optimizer) -> Plan:
        """An optimizer that was not seen before; what is non-finite in it now is so on purpose."""
        plan = self._plans[id(optimizer)] = Plan(optimizer)
        sizes = norms(plan.params)
        self.accept([p for p, n in zip(plan.params, sizes, strict=True) if not math.isfinite(n) and not is_finite(p)])
        return plan

    def _lags(self, plan: Plan) -> bool:
        return plan.lags or self._all_lag

    def _device(self) -> Device:
        if self.device is None:
            self.device = Device(self)
        return self.device

    def _arrived(self, wait: bool = False) -> Seen | None:
        return self.device.arrivals(wait) if self.device is not None and self.probe is None else None

    def _first(
        self, tensors: list[Tensor], owners: list[Tensor], sizes: list[float], what: str, optimizer: Any = None
    ) -> Seen | None:
        bad = []
        for t, owner, size in zip(tensors, owners, sizes, strict=True):
            if math.isfinite(size) or self._accepted(t, size) or is_finite(t):
                continue
            bad.append((t, owner))
        if not bad:
            return None
        tensor, owner = bad[0]
        values = local_values(tensor)
        assert values is not None
        key = next((k for k, v in optimizer.state[owner].items() if v is tensor), None) if optimizer else None
        seen = Seen(what, key, "nan" if bool(torch.isnan(values).any()) else "inf", [t for t, _ in bad], self.steps)
        seen.owner = owner
        return seen

    def _accepted(self, tensor: Tensor, size: float) -> bool:
        known = self._nonfinite.get(id(tensor))
        return known is not None and known[0] is tensor and (known[1] or not math.isnan(size))

    @staticmethod
    def _skipped_on_device(optimizer: torch.optim.Optimizer) -> bool:
        found = getattr(optimizer, "found_inf", None)
        return isinstance(found, Tensor) and bool(found.item())


__all__ = ["SKIPPED_IN_A_ROW", "URGENT", "Seen", "Sentinel"]
