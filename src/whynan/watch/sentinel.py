"""The always-on look: the loss when `backward` is called, gradients before a step, parameters and state after it.

What it sees goes to one function (`alarm`). It alarms on what would hurt training, and looks twice before: a norm that
overflowed on finite values is none, a step that GradScaler skips is none, an infinite trial point of a line search is
none, and a tensor that was infinite from the beginning is only an alarm once it turns into NaN.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from whynan.tensors.many import is_finite, is_plain, local_values, norms, plain_norms, uniform
from whynan.watch.history import History

SKIPPED_IN_A_ROW = 50  # GradScaler halves its scale with every skip: 2**-50 leaves no scale to search


@dataclass
class Seen:
    """One alarm: what, which tensor (by name as far as known), its value, and the tensors to trace back from."""

    what: str
    name: str | None
    value: str
    tensors: list[Tensor] = field(default_factory=list)
    step: int = 0
    hard: bool = True  # certain to hurt; a soft one is looked at again under the microscope
    error: BaseException | None = None
    site: tuple[str, int, str] | None = None  # file, line, function of the user's code that was running
    owner: Tensor | None = None  # the parameter that a gradient or a state entry belongs to


class Sentinel:
    """Counts steps, keeps the history, and calls `alarm` with what it sees."""

    def __init__(self, alarm: Callable[[Seen], None]) -> None:
        self.alarm = alarm
        self.steps = 0
        self.backwards = 0
        self.history = History()
        self.recording = True  # off while an iteration is executed again
        self.seconds = 0.0
        self.on_step: Callable[[], None] = lambda: None
        self.probe: list[Any] | None = None  # collects fingerprints during a re-execution
        self._nonfinite: dict[int, tuple[Tensor, bool]] = {}  # tensors that are known to be so, and "is NaN"
        self.pace = Pace()
        self._optimizers: dict[int, weakref.ref[torch.optim.Optimizer]] = {}
        self._plans: dict[int, Plan] = {}
        self._line_search = 0
        self._scaled: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}
        self._skips = 0
        self._collapsed = False  # GradScaler skipped so many steps that it counts as a symptom

    # events ----------------------------------------------------------------------------------------------------

    def backward(self, tensors: Iterable[Any]) -> None:
        """`torch.autograd.backward(tensors)` is about to run."""
        start = time.thread_time()
        self.backwards += 1
        seen = None
        for t in tensors:
            if type(t) is Tensor and t.dim() == 0 and not self._scaled and is_plain(t):  # nearly always
                value = t.item()
                self._note("loss", value)
                if not math.isfinite(value) and seen is None and not self._line_search:
                    seen = Seen("loss", None, _word(value), [t], self.steps)
                continue
            values = local_values(t) if isinstance(t, Tensor) else None
            if values is None:
                continue
            original = self._unscaled(t)
            if original is not None:
                values = local_values(original)
                t = original
            if values is None:
                continue
            value = values.item() if values.numel() == 1 else (0.0 if is_finite(values) else float("nan"))
            if values.numel() == 1:
                self._note("loss", value)
            if not math.isfinite(value) and seen is None and not self._line_search:
                seen = Seen("loss", None, _word(value), [t], self.steps)
        self.seconds += time.thread_time() - start
        if seen is not None:
            self.alarm(seen)

    def before_step(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        start = time.thread_time()
        self._skips = 0
        plan = self._plan(optimizer)
        seen = None
        if len(args) > 1 and args[1] is not None or kwargs.get("closure") is not None:
            self._line_search += isinstance(optimizer, torch.optim.LBFGS)  # gradients do not exist yet
        elif not self._skipped_on_device(optimizer):
            owners = [p for p in plan.params if p.grad is not None]
            grads = [p.grad for p in owners]
            sizes = _sizes(grads, plan.plain)  # type: ignore[arg-type]
            self._note("grad", id(optimizer), sizes)
            if not math.isfinite(sum(sizes)):
                seen = self._first(grads, owners, sizes, "gradient")  # type: ignore[arg-type]
        if self.recording:
            self.history.lr.append(
                (self.steps, id(optimizer), [float(g.get("lr", 0.0)) for g in optimizer.param_groups])
            )
        self.seconds += time.thread_time() - start
        if seen is not None:
            self.alarm(seen)

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        start = time.thread_time()
        if isinstance(optimizer, torch.optim.LBFGS):
            self._line_search = max(0, self._line_search - 1)
        seen = self._look_at(optimizer) if self.probe is not None or self.pace.due() else None
        self.steps += 1
        self.on_step()
        now = time.thread_time()
        self.seconds += now - start
        self.pace.stepped(now)
        if seen is not None:
            self.alarm(seen)

    def last_look(self) -> Seen | None:
        """At the end of the program: parameters and state that the pace left out."""
        for ref in list(self._optimizers.values()):
            optimizer = ref()
            seen = self._look_at(optimizer) if optimizer is not None else None
            if seen is not None:
                seen.step = max(0, self.steps - 1)
                return seen
        return None

    def _look_at(self, optimizer: torch.optim.Optimizer) -> Seen | None:
        """Parameters and optimizer state after a step."""
        start = time.thread_time()
        plan = self._plan(optimizer)
        sizes = _sizes(plan.tensors, plan.plain)
        count = len(plan.params)
        self._note("param", id(optimizer), sizes[:count])
        seen = None
        if not math.isfinite(sum(sizes)):
            seen = self._first(plan.params, plan.params, sizes[:count], "parameter") or self._first(
                plan.tensors[count:], plan.owners[count:], sizes[count:], "state", optimizer
            )
        self.pace.looked(time.thread_time() - start)
        return seen

    def buffers(self, tensors: list[Tensor]) -> Seen | None:
        """Between two iterations: did one of these buffers turn non-finite that was not?"""
        if not tensors:
            return None
        sizes = norms(tensors)
        if math.isfinite(sum(sizes)):
            return None
        seen = self._first(tensors, tensors, sizes, "buffer")
        if seen is not None:
            seen.hard = False
        return seen

    def scaled(self, output: Any, original: Any) -> None:
        """GradScaler multiplied a loss: judge the loss, not the product."""
        if isinstance(output, Tensor) and isinstance(original, Tensor):
            self._scaled = {id(output): (weakref.ref(output), original.detach())}  # without its graph

    def scaler_skipped(self, optimizer: torch.optim.Optimizer) -> None:
        """GradScaler skipped a step. That is its search for a scale, unless it never finds one."""
        self._skips += 1
        if self._skips == SKIPPED_IN_A_ROW or (self._skips and self.probe is not None and self._collapsed):
            self._collapsed = True
            owners = [p for p in _params(optimizer) if p.grad is not None]
            grads = [p.grad for p in owners if p.grad is not None]
            seen = self._first(grads, owners, norms(grads), "gradient")
            if seen is not None:
                self.alarm(seen)

    def reset(self) -> None:
        """Forget what is only meaningful within one execution of an iteration."""
        self._line_search = self._skips = 0
        self._scaled = {}

    def accept(self, tensors: Iterable[Tensor]) -> None:
        """These are non-finite on purpose."""
        for t in tensors:
            values = local_values(t)
            self._nonfinite[id(t)] = (t, values is not None and bool(torch.isnan(values).any()))

    # ------------------------------------------------------------------------------------------------------------

    def _note(self, kind: str, *what: Any) -> None:
        if self.probe is not None:
            self.probe.append((kind, self.steps, what[-1]))
        if self.recording:
            if kind == "loss":
                self.history.loss.append((self.backwards, self.steps, what[0]))
            elif kind == "grad":
                self.history.grad_norms.append((self.steps, what[0], what[1]))
            else:
                self.history.param_norms.append((self.steps, what[0], what[1]))

    def _plan(self, optimizer: torch.optim.Optimizer) -> Plan:
        """What to look at for this optimizer; made anew when parameters or state were added."""
        key = id(optimizer)
        size = (len(optimizer.state), sum(len(group["params"]) for group in optimizer.param_groups))
        plan = self._plans.get(key)
        if plan is None or plan.size != size or self.probe is not None:
            if key not in self._optimizers:
                self._optimizers[key] = weakref.ref(optimizer)
                params = _params(optimizer)
                bad = [
                    p for p, n in zip(params, norms(params), strict=True) if not math.isfinite(n) and not is_finite(p)
                ]
                self.accept(bad)
            plan = self._plans[key] = Plan(optimizer, size)
        return plan

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

    def _unscaled(self, tensor: Tensor) -> Tensor | None:
        pair = self._scaled.get(id(tensor))
        return pair[1] if pair is not None and pair[0]() is tensor else None

    @staticmethod
    def _skipped_on_device(optimizer: torch.optim.Optimizer) -> bool:
        found = getattr(optimizer, "found_inf", None)
        return isinstance(found, Tensor) and bool(found.item())


class Plan:
    """Parameters of one optimizer and the floating-point tensors of their state, with the parameter each belongs to."""

    __slots__ = ("params", "tensors", "owners", "plain", "size")

    def __init__(self, optimizer: torch.optim.Optimizer, size: tuple[int, int]) -> None:
        self.size = size
        self.params = _params(optimizer)
        self.tensors, self.owners = list(self.params), list(self.params)
        for p in self.params:
            for key, value in (optimizer.state.get(p) or {}).items():
                if isinstance(value, Tensor) and key != "step" and value.is_floating_point():
                    self.tensors.append(value)
                    self.owners.append(p)
        self.plain = uniform(self.tensors)


class Pace:
    """How often parameters and state are looked at: every step, or so rarely that it costs at most `SHARE` of the time.

    What turned bad in between is found when the iterations since the last look are executed again.
    """

    SHARE = 0.01
    RAREST = 8  # steps; the snapshots reach further back

    def __init__(self) -> None:
        self.every = 1
        self.clean = True
        self._since = 0
        self._last: float | None = None
        self._interval = math.inf
        self._cost = math.inf

    def due(self) -> bool:
        self._since += 1
        return self._since >= self.every

    def looked(self, seconds: float) -> None:
        self._since = 0
        self._cost = min(self._cost * 1.05, seconds)

    def stepped(self, now: float) -> None:
        if self._last is not None:
            self._interval = min(self._interval * 1.05, now - self._last)
            if math.isfinite(self._cost) and math.isfinite(self._interval):
                share = self._cost / max(self._interval, 1e-9) / self.SHARE
                self.every = max(1, min(self.RAREST, math.ceil(share)))
        self._last = now

    @property
    def fresh(self) -> bool:
        """The latest step was looked at."""
        return self._since == 0


def _sizes(tensors: list[Tensor], plain: bool) -> list[float]:
    if plain:
        try:
            return plain_norms(tensors)
        except (RuntimeError, TypeError):
            pass
    return norms(tensors)


def _params(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _word(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
