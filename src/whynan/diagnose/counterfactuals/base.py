"""What an experiment is, and the list of them."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch

from whynan.diagnose.inquest import Inquest
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot

Start = Literal["recent", "early", "first"]


@dataclass(frozen=True)
class Experiment:
    """`title` completes the sentence "The same iterations again, ..."; `start` says which snapshot it needs.

    "recent" is the snapshot of the failing iteration, "early" the oldest one on the tape, "first" the one before the
    first update.
    """

    name: str
    title: str
    start: Start
    applies: Callable[[Inquest], bool]
    apply: Callable[[Inquest, Snapshot, int], Attempt]


EXPERIMENTS: dict[str, Experiment] = {}


def experiment(
    name: str, title: str, *, start: Start = "recent", applies: Callable[[Inquest], bool] = lambda inquest: True
) -> Callable[[Callable[[Inquest, Snapshot, int], Attempt]], Callable[[Inquest, Snapshot, int], Attempt]]:
    """Register `apply(inquest, snapshot, until)` as an experiment."""

    def register(apply: Callable[[Inquest, Snapshot, int], Attempt]) -> Callable[[Inquest, Snapshot, int], Attempt]:
        EXPERIMENTS[name] = Experiment(name, title, start, applies, apply)
        return apply

    return register


def load() -> dict[str, Experiment]:
    """All experiments, by name."""
    from whynan.diagnose import counterfactuals

    for module in sorted(m.name for m in pkgutil.iter_modules(counterfactuals.__path__)):
        importlib.import_module(f"{counterfactuals.__name__}.{module}")
    return EXPERIMENTS


def whole_snapshots(inquest: Inquest) -> list[Snapshot]:
    """Snapshots from which the tape reaches to the failing iteration, oldest first."""
    recorder = inquest.recorder
    if recorder is None or inquest.run is None:
        return []
    return [s for s in recorder.snapshots if recorder.tape.covers(s.index, inquest.index)]


def snapshot_for(inquest: Inquest, start: Start) -> Snapshot | None:
    """The snapshot to begin from; its tape must reach to the failing iteration."""
    whole = whole_snapshots(inquest)
    if start == "first":
        return next((s for s in whole if s.steps == 0 and s.index == 0), None)
    if start == "recent":
        known = inquest.snapshot
        return known if known is not None and known in whole else (whole[-1] if whole else None)
    return whole[0] if whole else None


def has_optimizers(inquest: Inquest) -> bool:
    return bool(inquest.optimizers)


@contextlib.contextmanager
def around_steps(
    inquest: Inquest, before: Callable[[Any], None] | None = None, after: Callable[[Any], None] | None = None
) -> Iterator[None]:
    """`before(optimizer)` and `after(optimizer)` run around every step of every optimizer inside."""
    handles = []
    for optimizer in inquest.optimizers:
        if before is not None:
            handles.append(optimizer.register_step_pre_hook(lambda o, args, kwargs: before(o)))
        if after is not None:
            handles.append(optimizer.register_step_post_hook(lambda o, args, kwargs: after(o)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def with_options(inquest: Inquest, change: Callable[[dict[str, Any]], None]) -> contextlib.AbstractContextManager[None]:
    """Every step runs with `change`d param_groups; outside of steps the user's own values are there."""
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def before(optimizer: Any) -> None:
        for group in optimizer.param_groups:
            kept.append((group, {k: v for k, v in group.items() if k != "params"}))
            change(group)

    def after(optimizer: Any) -> None:
        while kept:
            group, values = kept.pop()
            group.update(values)

    return around_steps(inquest, before, after)


def clip(parameters: list[torch.Tensor], limit: float = 1.0) -> None:
    """Scale all gradients so that their common norm is at most `limit`; the norm is taken in float64."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return
    with torch.no_grad():
        norm = (
            sum(float(g.double().norm()) ** 2 if g.layout is torch.strided else float(g.norm()) ** 2 for g in grads)
            ** 0.5
        )
        if limit < norm < float("inf"):
            for g in grads:
                g.mul_(limit / norm)
