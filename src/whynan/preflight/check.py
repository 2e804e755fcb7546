"""`whynan.check(model, batch, loss)`: one step on one batch, before any training.

The script form (`whynan check train.py`) puts the same parts together around the user's own loop; see `checking`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from whynan.case.preflight import Preflight
from whynan.errors import UsageError
from whynan.preflight import initialization, settings, step
from whynan.preflight.births import Where, where_of
from whynan.preflight.data.scan import Scan
from whynan.preflight.layers import LayerProbe
from whynan.preflight.recommended import initialised_as_recommended, rules_of
from whynan.preflight.together import Parts, put_together
from whynan.preflight.tries import EXPLAINED, Failure
from whynan.replay.names import Names
from whynan.replay.scope import Scope
from whynan.replay.trace import Trace
from whynan.tensors.many import is_finite
from whynan.watch.randomness import RandomState
from whynan.watch.userfiles import is_user_file


def check(
    model: nn.Module | Callable[..., Any],
    batch: Any,
    loss: Callable[..., Tensor],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    loader: Iterable[Any] | None = None,
    seconds: float = 30.0,
) -> Preflight:
    """Look at a model, its data and its loss before training; nothing of them is changed.

    model: a module, or with `optimizer` any function of the parameters that this holds.
    batch: what the loader yields. loss: called as `loss(model(*inputs), target)` where the batch is a tuple or list
    (inputs..., target), and as `loss(model, batch)` where it is anything else (a dict, one tensor); must return a
    tensor. loader: looked through for at most `seconds`, each of its batches put through one step for at most half
    of them; without it only `batch` is looked at. Answers with a `Preflight`: print it, or read its fields.
    Raises UsageError for a model without parameters or a loss that gives no tensor; what model or loss raise with
    `batch` goes through.
    """
    parameters = _parameters(model, optimizer)
    if not parameters:
        raise UsageError(
            "whynan.check: the model has no parameters. Give the nn.Module that is trained, or a function and the "
            "optimizer of its parameters."
        )
    if not seconds > 0:
        raise UsageError(f"whynan.check: seconds is {seconds:g}. It has to be more than 0.")
    random = RandomState()
    try:
        with _as_it_was(parameters, model):
            return _Check(model, loss, optimizer, parameters).answer(batch, loader, seconds)
    finally:
        random.restore()


class _Check:
    """One call of `check`."""

    def __init__(
        self, model: Any, loss: Callable[..., Tensor], optimizer: torch.optim.Optimizer | None, parameters: list[Tensor]
    ) -> None:
        self.model, self.loss, self.parameters = model, loss, parameters
        self.modules = {"model": model} if isinstance(model, nn.Module) else {}
        self.optimizers = [optimizer] if optimizer is not None else []
        self.scan = Scan()
        self.done, self.failed = 1, 0
        self.failures: list[Failure] = []

    def answer(self, batch: Any, loader: Iterable[Any] | None, seconds: float) -> Preflight:
        models = list(self.modules.values())
        before = list(initialization.nonfinite_parameters(models))
        bad = self.scan.add(batch, _names(batch))
        with LayerProbe(models) as probe, self._scope() as scope:
            value = self.step(batch)
        where = self._judged(value, scope.trace)
        rules = rules_of(models, scope.trace)
        with initialised_as_recommended(models, rules), LayerProbe(models) as again:
            self.step(batch)
        if where is None:
            self.scan.handled |= bad
        if loader is not None:
            self.scan = Scan()
            self._look_through(loader, seconds, where is None)
        parts = Parts(
            program=getattr(self.model, "__name__", type(self.model).__name__),
            probe=probe, trace=scope.trace, scan=self.scan,
            failure=None if where is None else step.failed(*where), settings=settings.look(self.optimizers),
            layers=initialization.compared(probe.layers(), again.layers(), rules), tries=self, more=before,
        )  # fmt: skip
        return put_together(parts)

    def step(self, batch: Any) -> Tensor:
        """Forward and backward; the loss."""
        for parameter in self.parameters:
            parameter.grad = None
        if isinstance(batch, (tuple, list)) and len(batch) >= 2:
            value = self.loss(self.model(*batch[:-1]), batch[-1])
        else:
            value = self.loss(self.model, batch)
        if not isinstance(value, Tensor):
            raise UsageError(f"whynan.check: the loss returned {type(value).__name__}. It has to return a tensor.")
        if value.requires_grad:
            value.sum().backward()
        return value

    def _look_through(self, loader: Iterable[Any], seconds: float, sound: bool) -> None:
        """Statistics of all batches; each through one step while half of the time lasts."""
        start, scan = time.monotonic(), self.scan
        handled: set[str] = set()
        broken: set[str] = set()
        for number, batch in enumerate(scan.from_loader(loader)):
            bad = scan.add(batch, _names(batch), None, start + seconds)
            if sound and time.monotonic() < start + seconds / 2:
                (handled if self._try(number, batch) else broken).update(bad)
            if time.monotonic() > start + seconds:
                scan.complete = False
                break
        scan.handled = handled - broken

    def _try(self, number: int, batch: Any) -> bool:
        """One step with a batch of the loader: is it finite?"""
        self.done += 1
        try:
            value = self.step(batch)
            message, where = self._message(value), None
            if message is not None and len(self.failures) < EXPLAINED:
                with self._scope() as scope:
                    value = self.step(batch)
                message, where = self._judged(value, scope.trace) or (message, None)
        except (IndexError, ValueError, RuntimeError, ArithmeticError) as error:
            self.failures.append(Failure(number, (), f"the step raises {type(error).__name__}: {error}", raised=True))
            self.failed += 1
            return False
        if message is not None:
            self.failed += 1
            self.failures.append(Failure(number, (), message, where))
        return message is None

    def _bad(self, value: Tensor) -> list[Tensor]:
        if not is_finite(value.detach()):
            return [value]
        grads = [p.grad for p in self.parameters if p.grad is not None]
        return [grad for grad in grads if not is_finite(grad)]

    def _message(self, value: Tensor) -> str | None:
        if not (bad := self._bad(value)):
            return None
        return f"the {'loss' if bad[0] is value else 'gradient'} becomes non-finite"

    def _judged(self, value: Tensor, trace: Trace) -> tuple[str, Where | None] | None:
        """(what is non-finite after a step, where it was born); None where everything is finite."""
        message = self._message(value)
        names = Names(self.modules, self.optimizers)

        def name_of(tensor: Tensor) -> str | None:
            known = names.of(tensor)
            return known.name if known is not None else None

        return None if message is None else (message, where_of(trace, self._bad(value), name_of))

    def _scope(self) -> Scope:
        return Scope(is_user_file=is_user_file, roots=lambda: self.modules)


def _parameters(model: Any, optimizer: torch.optim.Optimizer | None) -> list[Tensor]:
    """Those of the module; of a function, those that the optimizer holds."""
    if isinstance(model, nn.Module):
        return list(model.parameters())
    if optimizer is None or not callable(model):
        return []
    return [p for group in optimizer.param_groups for p in group["params"]]


def _names(batch: Any) -> dict[str, str]:
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    return {"[0]": "inputs", "[1]": "targets"} if pair else {}


@contextlib.contextmanager
def _as_it_was(parameters: list[Tensor], model: Any) -> Iterator[None]:
    """Gradients and buffers are put back."""
    grads = [(p, p.grad) for p in parameters]
    own = model.buffers() if isinstance(model, nn.Module) else ()
    buffers = [(b, b.detach().clone()) for b in own if not is_lazy(b)]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, values in buffers:
                buffer.copy_(values)
        for p, grad in grads:
            p.grad = grad
