"""What a report shows beside the place itself: history, layers by steps, the batch. Each may fail without harm."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import torch

from whynan.case.facts import Batch, Report
from whynan.replay.batch import batch_of
from whynan.replay.figures import figure
from whynan.replay.layers import layers_of
from whynan.replay.locate import Located
from whynan.replay.names import Names, root_modules
from whynan.replay.series import series
from whynan.watch.watcher import Watcher


def with_tables(report: Report, located: Located, watcher: Watcher) -> Report:
    """The report with `history`, `layers` and `batch`; what could not be made is said in the notes."""
    notes: list[str] = []
    history = watcher.sentinel.history

    def layers() -> Any:
        optimizers = _optimizers(located)
        names = located.names if located.names is not None else Names(root_modules(), optimizers)
        birth = report.birth
        named = [birth.module if birth else None, *(step.module for step in report.path)]
        return layers_of(history, optimizers, names, named)

    return replace(
        report,
        history=figure(notes, "history", lambda: series(history), {}),
        layers=figure(notes, "table of layers", layers, ()),
        batch=located.batch or figure(notes, "table of the batch", lambda: failing_batch(located), ()),
        notes=(*report.notes, *notes),
    )


def failing_batch(located: Located) -> tuple[Batch, ...]:
    """The batch of the iteration of the birth, where it is known."""
    birth, run = located.birth, located.run
    iteration = birth.iteration if birth is not None and birth.iteration is not None else located.iteration
    record = located.finding.birth if located.finding is not None else None
    until = record.index if record is not None else None
    return batch_of(run, iteration - (run.first if run is not None else 0), located.names, located.trace, until)


def _optimizers(located: Located) -> list[Any]:
    if located.snapshot is not None:
        return list(located.snapshot.optimizers)
    return [o for o in gc.get_objects() if issubclass(type(o), torch.optim.Optimizer)]
