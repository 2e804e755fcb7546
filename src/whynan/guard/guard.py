"""One guard: asks its policies before every update, and after a failure that no update can undo."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from whynan.errors import UsageError
from whynan.guard.device import Arrived, OnDevice, gradients
from whynan.guard.journal import LOG, Journal
from whynan.guard.measure import bad_rate, gradient_norm
from whynan.guard.policies.clip import limit_of
from whynan.guard.policy import Failure, Update, chosen
from whynan.guard.ranks.agreement import Agreement
from whynan.guard.ranks.channel import many_ranks
from whynan.guard.ranks.meeting import Meeting
from whynan.guard.settings import Settings
from whynan.watch.attempts import Attempts
from whynan.watch.gate import Gate
from whynan.watch.goingon import Continue
from whynan.watch.loops import LoopRun
from whynan.watch.seen import Seen

REMEMBERED = 256  # updates whose decisions are repeated when their iterations are executed again
PAST = 256  # norms per optimizer


class Guard:
    """Acts on `optimizers`, or on all of the process. `clock` counts optimizer steps, and is set back by replays."""

    def __init__(
        self, settings: Settings, optimizers: list[Any] | None = None, clock: Callable[[], int] | None = None
    ) -> None:
        self.settings = settings
        self.journal = Journal(settings.cap, settings.row)
        self.policies = chosen(settings, self.journal)
        self.tainted: str | None = None  # a loss that was not finite, since the last update
        self.on_gave_up: Callable[[Any, str], None] | None = None  # an update that is not finite goes through
        self.lr_of: dict[int, list[float]] = {}
        self._own = 0
        self.clock = clock if clock is not None else lambda: self._own
        self._past: dict[int, deque[float]] = {}
        self._decisions: dict[int, tuple[bool, float]] = {}
        self._limits: dict[int, float | None] = {}
        self._taken: deque[int] = deque(maxlen=REMEMBERED)  # steps whose loss was not finite
        self._farthest, self._again = -1, 0
        self._warned: set[str] = set()
        self._agreement = Agreement(settings.wait)
        self.device = OnDevice()
        self.gate = Gate(self._before, optimizers)
        self.gate.after = self._after

    def remove(self) -> None:
        self.gate.remove()

    # updates ---------------------------------------------------------------------------------------------------

    def _before(self, optimizer: Any) -> bool:
        """Asked by the gate before every step: shall it be held back?"""
        if isinstance(optimizer, torch.optim.LBFGS):
            self._warn("LBFGS evaluates its gradients inside of a step: guards leave it alone")
            return False
        step = self.clock()
        if self.device.applies(optimizer) and bad_rate(optimizer) is None:
            self._before_on_device(step, optimizer)
            return False
        if _left_out_by_scaler(optimizer):  # its search for a scale is no failure
            self.update_is_lost()
            return False
        if Attempts.current is not None:  # a repetition does what was done then
            held, factor = self._decisions.get(step, (False, 1.0))
        else:
            held, factor = self._decide(step, optimizer)
        if not held:
            _scale(optimizer, factor)
            self._lower_rates(optimizer)
        return held

    def _decide(self, step: int, optimizer: Any) -> tuple[bool, float]:
        norm, why = gradient_norm(optimizer)
        tainted, self.tainted = self.tainted, None
        why = tainted or why or bad_rate(optimizer)
        agreed = self._agreement.on(norm, why, tainted is not None, optimizer, step)
        everywhere, self.journal.speaks = agreed.norm, agreed.speaks
        past = self._past_of(id(optimizer))
        update = Update(step, optimizer, everywhere, agreed.why, list(past) if self.settings.clip else [])
        for policy in self.policies:
            policy.update(update)
        if math.isfinite(everywhere):
            past.append(everywhere)
            self.journal.healthy()
        elif not update.held and self.on_gave_up is not None:
            self.on_gave_up(optimizer, update.why or "")
        self._decisions[step] = update.held, update.factor
        self._decisions.pop(step - REMEMBERED, None)
        return update.held, update.factor

    def _before_on_device(self, step: int, optimizer: Any) -> None:
        again = Attempts.current is not None
        if not again:
            self.tainted = None  # the gradients of such a loss are bad too
            for news in self.device.arrived():
                self._count(news, optimizer)
        past = self._past_of(id(optimizer))
        clip = self.settings.clip
        limit = self._limits.get(step) if again else limit_of(clip, list(past)) if clip else None
        self._limits[step] = limit
        self._limits.pop(step - REMEMBERED, None)
        skip = self.settings.skip and not self.journal.exhausted("skip")
        self.device.before(optimizer, step, skip, limit, told=not again)
        self._lower_rates(optimizer)

    def _count(self, news: Arrived, optimizer: Any = None) -> None:
        """What a device decided a step or two ago."""
        if news.bad and news.scaler:
            return
        if news.bad:
            if self.settings.skip:
                self.journal.act("skip", news.step, "update skipped: a gradient is not finite")
            if not news.held and self.on_gave_up is not None:
                self.on_gave_up(optimizer, "a gradient was not finite")
        elif math.isfinite(news.norm):
            self._past_of(news.optimizer).append(news.norm)
            self.journal.healthy()

    def _past_of(self, optimizer: int) -> deque[float]:
        return self._past.setdefault(optimizer, deque(maxlen=PAST))

    def _after(self, optimizer: Any) -> None:
        self._own += 1
        self.device.after(optimizer)
        for group, rate in zip(optimizer.param_groups, self.lr_of.pop(id(optimizer), ()), strict=False):
            group["lr"] = rate

    def _lower_rates(self, optimizer: Any) -> None:
        """During the step only: schedulers and the program see the rates that they set."""
        factor = math.prod(policy.rate() for policy in self.policies)
        if factor < 1:
            self.lr_of[id(optimizer)] = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * factor

    # failures --------------------------------------------------------------------------------------------------

    def takes(self, seen: Seen) -> bool:
        """An alarm whose harm is prevented by holding back the next update."""
        if seen.what != "loss" or not seen.hard or not self.settings.skip:
            return False
        if self.journal.exhausted("skip"):
            self.journal.give_up("skip", self.clock())
            return False
        if seen.step < self.clock():  # of a device, and late: its update was left out there
            return True
        self.tainted = f"the loss is {seen.value}"
        self._taken.append(seen.step)
        return True

    def took(self, seen: Seen) -> bool:
        """The same alarm, in a repetition of the step."""
        return seen.what == "loss" and seen.step in self._taken

    def update_is_lost(self) -> None:
        """The step that the tainted loss would have made was given up by someone else (GradScaler)."""
        self.tainted = None

    def failure(self, run: LoopRun, seen: Seen, meeting: Meeting | None = None) -> Continue | None:
        """How the loop can go on after an alarm; None: not at all, explain it.

        `meeting`: what the ranks of the run agreed upon. Without one, several ranks cannot go back.
        """
        if meeting is None and many_ranks():
            if self.settings.rollback or self.settings.precision:
                self._warn("this rank could not agree with the others: no rollback, no change of precision")
            return None
        self.journal.speaks = meeting is None or meeting.leads
        iteration = run.first + meeting.failed if meeting is not None else run.iteration
        self._again = self._again + 1 if iteration <= self._farthest + self.settings.rollback else 0
        self._farthest = max(self._farthest, iteration)
        failure = Failure.of(run, seen, meeting, self._again)
        for policy in self.policies:
            plan = policy.failure(failure)
            if plan is not None:
                self.tainted = None
                return plan
        return None

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            LOG.warning("whynan: guard: %s", text)


def refuse(optimizers: list[Any], settings: Settings) -> None:
    """UsageError for what a guard of single optimizers cannot do."""
    for optimizer in optimizers:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise UsageError(f"whynan.guard() takes torch optimizers, and got a {type(optimizer).__name__}.")
        if isinstance(optimizer, torch.optim.LBFGS):
            raise UsageError(
                "whynan.guard() cannot act on LBFGS: it evaluates its gradients inside of a step. Guard the closure "
                "instead: return the last finite loss, or use a line search (line_search_fn='strong_wolfe')."
            )
    if settings.rollback or settings.precision:
        raise UsageError("whynan.guard(optimizer) can skip and clip. To roll back use whynan.watch(loader, guard=...).")
    if not settings.acts:
        raise UsageError("whynan.guard() has nothing to do. Say skip=True or clip='percentile:95', or both.")


def _scale(optimizer: Any, factor: float) -> None:
    if factor == 1.0:
        return
    with torch.no_grad():
        for grad in gradients(optimizer):
            (grad._values() if grad.is_sparse and isinstance(grad, Tensor) else grad).mul_(factor)


def _left_out_by_scaler(optimizer: Any) -> bool:
    """GradScaler leaves the gradients of a fused optimizer scaled, and tells it whether to make the step."""
    found = getattr(optimizer, "found_inf", None)
    return isinstance(found, Tensor) and bool(found)
