"""The history of the run as lists of one length over one axis of steps.

    step          optimizer steps completed before it; for a program without an optimizer, backward passes
    loss          the last loss of the step that `backward` was called on, or the first that was not finite
    grad_norm     2-norm over the gradients handed to the optimizer
    grad_absmax   the largest finite of these gradients, where all were read in one pass (on CUDA)
    grad_absmin   the smallest that is not 0, of the same
    param_norm    2-norm over the parameters after the step, where they were looked at
    update_ratio  change of that norm from one look to the next, per step and relative: at most |w' - w| / |w|
    lr            largest learning rate of the parameter groups

None stands where nothing was measured. A long history is thinned: kept are the latest steps, every value that is not
finite, and of each stretch before them the extremes of loss and gradient norm.
"""

from __future__ import annotations

import math
from typing import Any

from whynan.replay.layers import relative_change
from whynan.watch.history import History, total

LATEST = 128  # steps that are all kept
STRETCHES = 64  # of the steps before them, each of which gives its extremes

Value = float | None
Row = dict[str, Value]
SERIES = ("loss", "grad_norm", "grad_absmax", "grad_absmin", "param_norm", "update_ratio", "lr")


def series(history: History) -> dict[str, list[Any]]:
    """`step` and those of `SERIES` that have a value."""
    rows = _rows(history)
    steps = _thinned(sorted(rows), rows)
    out: dict[str, list[Any]] = {"step": steps}
    for name in SERIES:
        values = [rows[step].get(name) for step in steps]
        if any(value is not None for value in values):
            out[name] = values
    return out if len(out) > 1 else {}


def _rows(history: History) -> dict[int, Row]:
    rows: dict[int, Row] = {}

    def put(step: int, name: str, value: Value) -> None:
        row = rows.setdefault(step, {})
        known = row.get(name)
        if known is None or math.isfinite(known):
            row[name] = value

    by_hand = not history.lr and len({step for _, step, _ in history.loss}) <= 1  # no optimizer counts steps
    for backward, step, loss in history.loss:
        put(backward - 1 if by_hand else step, "loss", loss)
    for step, _, norms in history.grad_norms:
        put(step, "grad_norm", total(norms))
    for step, _, largest, smallest in history.grad_extremes:
        put(step, "grad_absmax", largest)
        put(step, "grad_absmin", smallest if math.isfinite(smallest) else None)  # all of them are 0
    latest: dict[int, float] = {}  # norm of the parameters of each optimizer
    before: tuple[int, float] | None = None
    for step, who, norms in history.param_norms:
        known = len(latest)
        latest[who] = total(norms)
        norm = math.hypot(*latest.values())
        put(step, "param_norm", norm)
        if before is not None and known == len(latest):
            put(step, "update_ratio", relative_change(*before, step, norm))
        before = (step, norm)
    for step, _, rates in history.lr:
        put(step, "lr", max(rates, default=None))
    return rows


def _thinned(steps: list[int], rows: dict[int, Row]) -> list[int]:
    early, late = steps[:-LATEST], steps[-LATEST:]
    kept = set(late) | {s for s in early if any(v is not None and not math.isfinite(v) for v in rows[s].values())}
    size = max(1, math.ceil(len(early) / STRETCHES))
    for start in range(0, len(early), size):
        stretch = early[start : start + size]
        kept.add(stretch[0])
        for name in ("loss", "grad_norm"):
            known = [(v, s) for s in stretch if (v := rows[s].get(name)) is not None and math.isfinite(v)]
            if known:
                kept |= {min(known)[1], max(known)[1]}
    return sorted(kept)
