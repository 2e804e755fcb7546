"""Shows every kind of warning what is new, and says what they see: one line each, few of them."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from whynan.case.facts import Alert
from whynan.watch.lagged import Lagged, capturing
from whynan.watch.loops import LoopRun
from whynan.watch.warnings.base import Moment, Warning, load
from whynan.watch.warnings.looks import Looker, Schedule, arrived
from whynan.watch.warnings.rest import PATIENCE, Rest
from whynan.watch.watcher import Watcher

LOG = logging.getLogger("whynan")
APART = 100  # steps between two lines of one kind
AGAIN = 1000  # steps until the same kind speaks of the same thing again
MOST = 20  # lines of one run
CLOSER = 2  # steps whose gradients are all looked at where something begins to grow


class Monitor:
    """Early warnings of one watched program. `alerts` are those that were said, oldest first."""

    def __init__(self, watcher: Watcher, silent: bool = False) -> None:
        self._opened = 0  # the step at which the look under way began
        self.watcher = watcher
        self.silent = silent  # for the report only
        self.alerts: list[Alert] = []
        self.kinds: list[Warning] = [cls() for _, cls in sorted(load().items())]
        self._broken: set[str] = set()
        self._last: dict[str, int] = {}
        self._said: dict[tuple[str, str | None], int] = {}
        self._seen: dict[str, Any] = {}  # the newest entry of each series that was shown
        self._skips = 0
        self._looker: Looker | None = None
        self._queue = Lagged()  # looks on their way from a device
        self._schedule = Schedule()
        self._rest = Rest()
        self._scales, self._closer, self._skipped_at = False, 0, -1
        scaled = watcher.sentinel.scaled

        def on_scaled(output: Any, original: Any) -> None:
            self._scales = True
            scaled(output, original)

        watcher.sentinel.scaled = on_scaled  # type: ignore[method-assign]
        watcher.sentinel.on_news = self._news
        loops = watcher.loops
        finished, ended = loops.on_finished, loops.on_end

        def on_finished(run: LoopRun) -> bool:
            if watcher.pending is not None:
                self._close()
            return finished(run)

        def on_end(run: LoopRun) -> None:
            if run.engaged:
                self._close()
            ended(run)

        loops.on_finished, loops.on_end = on_finished, on_end

    def scaler_skipped(self) -> None:
        """GradScaler gave up an update."""
        step = self.watcher.sentinel.steps
        self._skips = self._skips + 1 if step == self._skipped_at else 1
        self._skipped_at = step
        self._show(Moment(step, skips=self._skips))

    # what is new -----------------------------------------------------------------------------------------------

    def _news(self) -> None:
        """After an optimizer step in which loss or gradients left their level, or when it is time."""
        sentinel, rest, start = self.watcher.sentinel, self._rest, time.thread_time()
        if sentinel.far:
            sentinel.far = False
            rest.hurry(start, sentinel.steps)
            self._look_closer(sentinel.steps)
        if sentinel.steps >= rest.over:
            if not self.watcher.muted:
                self._show(self._moment())
            rest.done(time.thread_time() - start, start, sentinel.steps)
        if self._looking:
            self._between_steps()
        self._deliver()
        sentinel.wake = 0 if self._looking or len(self._queue) else min(rest.over, self._schedule.next - 1)

    @property
    def _looking(self) -> bool:
        """A look at activations is due or under way: every step counts."""
        return self._looker is not None or self.watcher.sentinel.steps >= self._schedule.next - 1

    def _moment(self) -> Moment:
        history = self.watcher.sentinel.history
        moment = Moment(max(0, self.watcher.sentinel.steps - 1), optimizer=self._optimizer, name=self._name)
        moment.losses = [(step, value) for _, step, value in self._new("loss", history.loss)]
        moment.gradients = self._new("grad", history.grad_norms)
        moment.parameters = self._new("param", history.param_norms)
        if moment.gradients and history.lr:
            for _, key, rates in list(history.lr)[-8:]:
                moment.rates[key] = max(rates, default=0.0)
        return moment

    def _new(self, kind: str, series: Any) -> list[Any]:
        """Entries since the last time, newest last; a rewound history starts anew."""
        known = self._seen.get(kind)
        found: list[Any] = []
        for entry in reversed(series):
            if entry is known or len(found) >= PATIENCE:
                break
            found.append(entry)
        if series:
            self._seen[kind] = series[-1]
        return found[::-1]

    # looks at activations --------------------------------------------------------------------------------------

    def _between_steps(self) -> None:
        """A look lasts from one optimizer step to the next, of every optimizer once."""
        step = self.watcher.sentinel.steps
        if self._looker is not None:
            if step - self._opened < max(1, self._schedule.optimizers):
                return
            if (looker := self._close()) is not None:
                looker.send(step, self._queue)
            self._schedule.looked(step)
        else:
            self._schedule.bare()
        if self._schedule.due(step) and not self.watcher.muted and not self._must_not_look():
            self._schedule.optimizers = len(self.watcher.sentinel._plans)
            self._looker = Looker(self.watcher.is_user_file, backward=not self._scales)
            self._opened = step
            self._looker.begin()
            self.watcher.hooks.on_backward = self._looker.backward_begins
        self._schedule.began()

    def _must_not_look(self) -> bool:
        """Under a dispatch mode compiled code would run uncompiled, and a graph that is being captured would break."""
        dynamo = sys.modules.get("torch._dynamo.utils")
        compiles = self.watcher.hooks.compiles or dynamo is not None and dynamo.counters["frames"]["total"] > 0
        return bool(compiles) or capturing()

    def _close(self) -> Looker | None:
        """End a look, also one that an alarm or the end of the loop cut short; then it is worth nothing."""
        looker = self._looker
        if looker is None or not looker.end():
            return None
        self._looker = self.watcher.hooks.on_backward = None
        return looker

    def _deliver(self) -> None:
        if len(self._queue) and not capturing():
            for step, looks in arrived(self._queue):
                self._show(Moment(step, looks=looks))

    # saying it -------------------------------------------------------------------------------------------------

    def _show(self, moment: Moment) -> None:
        for kind in self.kinds:
            if kind.kind in self._broken:
                continue
            try:
                for sign in kind.look(moment):
                    self._say(kind.kind, moment.step, sign)
            except Exception as error:  # a warning must never cost a run
                self._broken.add(kind.kind)
                LOG.debug("whynan: warning %s is switched off: %r", kind.kind, error)

    def _say(self, kind: str, step: int, sign: Any) -> None:
        if sign.value is not None and sign.message == "":  # not yet worth a line, only a closer look
            if sign.value > 0:  # steps that may be left
                self._schedule.hurry(step, sign.value)
            self._look_closer(step)
            return
        since = step - self._last.get(kind, -APART)
        same = step - self._said.get((kind, sign.name), -AGAIN)
        if len(self.alerts) >= MOST or since < APART or same < AGAIN:
            return
        self._last[kind] = self._said[kind, sign.name] = step
        self.alerts.append(Alert(step=step, kind=kind, message=sign.message, name=sign.name, value=sign.value))
        if not self.silent:
            LOG.warning("whynan: warning at step %d: %s", step, sign.message)

    def _look_closer(self, step: int) -> None:
        """Gradients of the next steps, all of them; at most a third of all steps are looked at for this."""
        if step - self._closer < 3 * CLOSER:
            return
        self._closer = step
        for plan in self.watcher.sentinel._plans.values():
            plan.gradients.urgent, plan.gradients.left = CLOSER, 1

    def _optimizer(self, key: int) -> Any:
        plan = self.watcher.sentinel._plans.get(key)
        return plan.of() if plan is not None else None

    def _name(self, key: int, position: int) -> str | None:
        """Dotted name of a parameter, as far as a snapshot knows the modules."""
        optimizer = self._optimizer(key)
        if optimizer is None:
            return None
        params = [p for group in optimizer.param_groups for p in group["params"]]
        if position >= len(params):
            return None
        wanted, best = params[position], None
        for run in self.watcher.loops.running():
            snapshots = run.record.snapshots if run.record is not None else []
            for module in snapshots[-1].modules if snapshots else []:
                for name, p in module.named_parameters():
                    if p is wanted and (best is None or name.count(".") > best.count(".")):
                        best = name
        return best or f"parameter {position} (shape {'x'.join(map(str, wanted.shape)) or '1'})"
