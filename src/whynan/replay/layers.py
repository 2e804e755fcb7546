"""Gradient norm, weight norm and update ratio by layer and step, for a picture of which layer went first.

Made of the norms per parameter that the history keeps. A layer is the module that owns parameters; its norm is the
2-norm over them. The update ratio is made of norms alone: the change of the weight norm from one look to the next,
per step and relative to the norm, | |w'| - |w| | / |w|. By the triangle inequality that is at most |w' - w| / |w|.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor

from whynan.case.facts import Layers
from whynan.replay.names import Names
from whynan.watch.history import History, total

STEPS = 64
LAYERS = 48

What = Literal["gradient norm", "weight norm", "update ratio"]
Column = dict[str, float]  # layer -> value, at one step


def layers_of(
    history: History, optimizers: Iterable[Any], names: Names, named: Sequence[str | None] = ()
) -> tuple[Layers, ...]:
    """The tables, over the last `STEPS` steps. `named` are module names that have to stay in a long list of layers."""
    owners = _owners(optimizers, names)
    grads = _columns(history.grad_norms, owners, with_grad=True)
    weights = _columns(history.param_norms, owners, with_grad=False)
    order = list(dict.fromkeys(layer for owner in owners.values() for layer, _ in owner))
    tables: tuple[tuple[What, Mapping[int, Column]], ...] = (
        ("gradient norm", grads),
        ("weight norm", weights),
        ("update ratio", _ratios(weights)),
    )
    wanted = {name or ROOT for name in named if name is not None}
    return tuple(_table(what, columns, order, wanted) for what, columns in tables if columns)


ROOT = "(the model itself)"


def _owners(optimizers: Iterable[Any], names: Names) -> dict[int, list[tuple[str, Tensor]]]:
    """id of an optimizer -> (layer, parameter) in its order. Where two models use the same names, the later one's
    layers are numbered."""
    found: dict[int, list[tuple[str, Tensor]]] = {}
    taken: dict[str, list[int]] = {}  # name of a parameter -> identities of the tensors that have it
    for optimizer in optimizers:
        mine = found[id(optimizer)] = []
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            layer, full = _layer(names, parameter)
            same = taken.setdefault(full, [])
            if id(parameter) not in same:
                same.append(id(parameter))
            number = same.index(id(parameter)) + 1
            mine.append((layer if number == 1 else f"{layer} ({number})", parameter))
    return found


def _layer(names: Names, parameter: Tensor) -> tuple[str, str]:
    """The layer of a parameter, and its own name; a tensor of no module is a layer of its own."""
    known = names.of(parameter)
    if known is None:
        return "parameter", "parameter"
    return known.name if known.module is None else known.module or ROOT, known.name


def _columns(
    entries: Iterable[tuple[int, int, list[float]]], owners: dict[int, list[tuple[str, Tensor]]], with_grad: bool
) -> dict[int, Column]:
    """step -> norms by layer. Gradient norms are kept for the parameters that had one."""
    columns: dict[int, Column] = {}
    for step, who, norms in list(entries)[-4 * STEPS :]:
        owner = owners.get(who, [])
        if with_grad and len(norms) != len(owner):
            owner = [pair for pair in owner if pair[1].grad is not None]
        if len(norms) != len(owner):
            continue
        parts: dict[str, list[float]] = {}
        for (layer, _), norm in zip(owner, norms, strict=True):
            parts.setdefault(layer, []).append(norm)
        columns.setdefault(step, {}).update({layer: total(p) for layer, p in parts.items()})
    return {step: columns[step] for step in sorted(columns)[-STEPS:]}


def _ratios(weights: Mapping[int, Column]) -> dict[int, Column]:
    found: dict[int, Column] = {}
    before: dict[str, tuple[int, float]] = {}
    for step, column in weights.items():
        for layer, norm in column.items():
            if layer in before:
                ratio = relative_change(*before[layer], step, norm)
                if ratio is not None:
                    found.setdefault(step, {})[layer] = ratio
            before[layer] = (step, norm)
    return found


def relative_change(since: int, before: float, step: int, now: float) -> float | None:
    """| now - before | / before per step; None where that says nothing (no step between, a norm of 0)."""
    if step <= since or not before > 0 or math.isinf(before):
        return None
    return abs(now - before) / before / (step - since)


def _table(what: What, columns: Mapping[int, Column], order: list[str], wanted: set[str]) -> Layers:
    present = [layer for layer in order if any(layer in column for column in columns.values())]
    if len(present) > LAYERS:
        change = {layer: _change([c[layer] for c in columns.values() if layer in c]) for layer in present}
        first = sorted(present, key=lambda layer: (layer not in wanted, -change[layer]))[:LAYERS]
        present = [layer for layer in present if layer in first]
    values = tuple(tuple(column.get(layer) for column in columns.values()) for layer in present)
    return Layers(what=what, names=tuple(present), steps=tuple(columns), values=values)


def _change(values: list[float]) -> float:
    """Largest over smallest; infinite where a value is not finite."""
    if not all(map(math.isfinite, values)):
        return math.inf
    low = min((v for v in values if v > 0), default=0.0)
    return max(values) / low if low else 0.0
