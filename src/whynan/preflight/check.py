"""`whynan.check(model, batch, loss)`: one step on one batch, before any training.

The script form (`whynan check train.py`) puts the same parts together around the user's own loop; see `checking`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from whynan.case.preflight import Preflight, Problem
from whynan.errors import UsageError
from whynan.preflight import initialization, settings, step
from whynan.preflight.data.problems import problems as data_problems
from whynan.preflight.data.scan import Scan, look_through
from whynan.preflight.layers import LayerProbe
from whynan.preflight.targets import problems as target_problems
from whynan.replay.scope import Scope
from whynan.replay.trace import Trace
from whynan.watch.randomness import RandomState
from whynan.watch.userfiles import is_user_file


def check(
    model: nn.Module,
    batch: Any,
    loss: Callable[..., Tensor],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    loader: Iterable[Any] | None = None,
    seconds: float = 30.0,
) -> Preflight:
    """Look at a model, its data and its loss before training; nothing of them is changed.

    batch: what the loader yields: a tensor, or a tuple or list (inputs..., target), or a dict (given as keywords).
    loss: called as `loss(output, target)`, or as `loss(model, batch)` where the batch is anything else or the loss
    takes it all; must return a tensor. loader: looked through for at most `seconds`, else only `batch` is.
    Raises UsageError for a model without parameters or a loss that gives no tensor; what model or loss raise themselves
    goes through.
    """
    if not any(True for _ in model.parameters()):
        raise UsageError("whynan.check: the model has no parameters. Give the nn.Module that is trained.")
    run = _Step(model, batch, loss)
    random = RandomState()
    try:
        with _as_it_was(model):
            probe, trace = examine([model], run)
        rules = initialization.rules_of([model], trace)
        with _as_it_was(model), initialization.initialised_as_recommended([model], rules), LayerProbe(model) as again:
            run()
        scan = look_through(loader if loader is not None else [batch], seconds=seconds)
    finally:
        random.restore()
    optimizers = [optimizer] if optimizer is not None else []
    layers = initialization.compared(probe.layers(), again.layers(), rules)
    return put_together(type(model).__name__, probe, trace, scan, optimizers, layers)


def examine(models: Iterable[nn.Module], run: Callable[[], Any]) -> tuple[LayerProbe, Trace]:
    """One step with hooks on every layer and under the microscope."""
    roots = {f"{type(model).__name__}-{i}": model for i, model in enumerate(models)}
    with LayerProbe(roots.values()) as probe, Scope(is_user_file=is_user_file, roots=lambda: roots) as scope:
        run()
    return probe, scope.trace


def put_together(
    program: str,
    probe: LayerProbe,
    trace: Trace,
    scan: Scan,
    optimizers: Iterable[torch.optim.Optimizer],
    layers: Any,
    more: Iterable[Problem] = (),
) -> Preflight:
    """The answer, from what was measured."""
    optimizers = list(optimizers)
    edges = step.edges_of_step(trace)
    found = [
        *data_problems(scan), *target_problems(trace), *step.nonfinite(trace), *initialization.problems(layers),
        *step.problems(edges), *settings.problems(optimizers), *more,
    ]  # fmt: skip
    notes = []
    if scan.error is not None:
        notes.append(f"the loader raised {type(scan.error).__name__}: {scan.error} after {scan.batches} batches")
    if not scan.complete and scan.error is None:
        notes.append(f"the data were looked through in part: {scan.samples:,} samples, until the time was up")
    return Preflight(
        verdict="problems" if any(p.severity != "note" for p in found) else "ready",
        program=program,
        problems=tuple(sorted(found, key=lambda p: ("error", "warning", "note").index(p.severity))),
        batches=scan.batches,
        samples=scan.samples,
        complete=scan.complete,
        columns=tuple(column for columns in scan.tensors.values() for column in columns.facts()),
        layers=layers,
        edges=edges,
        headroom=probe.headroom(),
        settings=settings.settings(optimizers),
        notes=tuple(notes),
    )


class _Step:
    """Forward and backward of one batch."""

    def __init__(self, model: nn.Module, batch: Any, loss: Callable[..., Tensor]) -> None:
        self.model, self.batch, self.loss = model, batch, loss

    def __call__(self) -> None:
        value = self._value()
        if not isinstance(value, Tensor):
            raise UsageError(f"whynan.check: the loss returned {type(value).__name__}. It has to return a tensor.")
        if value.requires_grad:
            value.sum().backward()

    def _value(self) -> Any:
        batch = self.batch
        if isinstance(batch, (tuple, list)) and len(batch) >= 2:
            return self.loss(self.model(*batch[:-1]), batch[-1])
        return self.loss(self.model, batch)


@contextlib.contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Gradients, buffers and training mode are put back."""
    grads = [(p, p.grad) for p in model.parameters()]
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    for p, _ in grads:
        p.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, values in buffers:
                buffer.copy_(values)
        for p, grad in grads:
            p.grad = grad
