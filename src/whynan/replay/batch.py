"""The failing batch by sample and by column: how large, how many not finite, and which entries of the data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from whynan.case.facts import Batch
from whynan.replay.memory import writers
from whynan.replay.names import Names, flatten
from whynan.replay.trace import OpRecord, TensorRef, Trace
from whynan.tensors.look import plain, real, unobserved
from whynan.watch.loops import LoopRun


class Found(NamedTuple):
    name: str
    tensor: Any
    indices: Sequence[int] = ()  # entries of the data set, by row


MOST = 12  # tensors
ROWS = 256  # samples; and columns
RECORDS = 5_000  # ops searched for what the forward pass reads, where the loop's item holds no tensor
_DATA = ("item", "local")  # kinds of names


def batch_of(
    run: LoopRun | None, index: int, names: Names | None, trace: Trace | None, until: int | None = None
) -> tuple[Batch, ...]:
    """The tensors of iteration `index` of `run`: those of its item and of what `next()` gave in the body, else, for a
    batch that the body makes itself, what the forward pass before record `until` of the trace read."""
    taped = run.record.taped(index) if run is not None and run.record is not None else None
    values = [taped.item, *(value for value, _, _ in taped.nexts)] if taped is not None else []
    indices = list(taped.indices) if taped is not None and taped.indices is not None else []
    found = [
        Found(_named(names, t, path), t, indices)
        for i, v in enumerate(values)
        for path, t in flatten(v, f"next {i}" if i else "batch")
    ]
    if not found and trace is not None and names is not None:
        found = _read_by_forward(trace, names, until)
    return tuple(describe(*one) for one in _tellable(found))


def describe(name: str, tensor: Tensor, indices: Sequence[int] = ()) -> Batch:
    """One tensor: rows along its first axis, columns along the last (two or three axes) or the second (images)."""
    shape = tuple(int(n) for n in tensor.shape)
    rows: tuple[list[float], list[int]] = ([], [])
    columns: tuple[list[float], list[int]] = ([], [])
    inner = plain(tensor)
    if inner is not None and inner.shape == tensor.shape and inner.numel():
        with unobserved(), torch.no_grad():
            rows = _along(inner, 0) if inner.dim() else rows
            columns = _along(inner, -1 if inner.dim() < 4 else 1) if inner.dim() > 1 else columns
    fits = bool(shape) and len(indices) == shape[0]
    return Batch(
        name=name,
        shape=shape,
        dtype=str(tensor.dtype).removeprefix("torch."),
        row_absmax=tuple(rows[0]),
        row_nonfinite=tuple(rows[1]),
        column_absmax=tuple(columns[0]),
        column_nonfinite=tuple(columns[1]),
        indices=tuple(int(i) for i in indices[:ROWS]) if fits else (),
    )


def _along(tensor: Tensor, axis: int) -> tuple[list[float], list[int]]:
    """absmax of the finite elements and count of the others, for each of the first entries along `axis`."""
    part = tensor.detach().movedim(axis, 0)[:ROWS]
    if part.is_complex():
        part = part.abs()
    flat = real(part).reshape(part.shape[0], -1)
    size = flat.double().abs()
    bad = ~torch.isfinite(size)
    return torch.where(bad, 0.0, size).amax(1).tolist(), bad.sum(1).tolist()


def _tellable(found: Iterable[Found]) -> Iterator[Found]:
    seen: set[int] = set()
    for one in found:
        if id(one.tensor) not in seen and one.tensor.dim() and len(seen) < MOST:
            seen.add(id(one.tensor))
            yield one


def _named(names: Names | None, tensor: Tensor, path: str) -> str:
    known = names.of(tensor) if names is not None else None
    return known.name if known is not None else path or "batch"


def _read_by_forward(trace: Trace, names: Names, until: int | None) -> list[Found]:
    """What the last forward pass before record `until` read and no parameter had a part in, in that order: tensors
    with a name of the loop's; where there are none, those that came from outside of the trace. Where samples are
    picked from a data set (`data[indices]`, `data[i:j]`) the picked samples are told instead of it."""
    seen: set[int] = set()
    learned: set[int] = set()  # memories that a parameter had a part in
    named: list[Found] = []
    others: list[Found] = []
    for record in _forward_pass(trace, until):
        refs = [ref for ref in record.inputs if ref.name.partition("[")[0] not in record.plan.written]
        if any(ref.area.memory.parameter or _learns(ref) or id(ref.area.memory) in learned for ref in refs):
            learned |= {id(ref.area.memory) for ref in record.outputs}
        picked = _picked(record)
        for ref in refs:
            known, memory = names.of(ref.tensor) if ref.tensor is not None else None, id(ref.area.memory)
            if memory in seen or memory in learned or not ref.shape or known is not None and known.kind not in _DATA:
                continue
            if known is None and writers(ref.area, ref.index) or ref.area.memory.parameter or _learns(ref):
                continue
            seen.add(memory)
            name = known.name if known is not None else "batch"
            told = Found(name, ref.tensor) if picked is None else Found(f"{name}[...]", picked.value, _indices(record))
            if told.tensor is not None:
                (named if known is not None else others).append(told)
            if picked is not None:
                seen |= {id(other.area.memory) for other in (*refs, *record.outputs)}
                break
    return named or others


def _forward_pass(trace: Trace, until: int | None) -> list[OpRecord]:
    """The ops of the last forward pass that begins before record `until`."""
    end = len(trace.records) if until is None else until + 1
    while end > 0 and not _is_forward(trace.records[end - 1]):
        end -= 1
    start = end
    while start > 0 and end - start < RECORDS and _is_forward(trace.records[start - 1]):
        start -= 1
    return trace.records[start:end]


def _is_forward(record: OpRecord) -> bool:
    return record.phase in ("forward", "data") and record.node is None


def _learns(ref: TensorRef) -> bool:
    return ref.tensor is not None and ref.tensor.requires_grad


def _picked(record: OpRecord) -> TensorRef | None:
    """The samples that an op picked along the first axis of its first input, if that is what it did."""
    if record.plan.base not in ("index", "index_select", "slice") or not record.inputs or not record.outputs:
        return None
    whole, part = record.inputs[0], record.outputs[0]
    fewer = bool(whole.shape) and len(part.shape) == len(whole.shape) and part.shape[0] < whole.shape[0]
    return part if fewer and part.shape[1:] == whole.shape[1:] else None


def _indices(record: OpRecord) -> list[int]:
    chosen = [ref for ref in record.inputs[1:] if len(ref.shape) == 1 and not ref.area.floating]
    value = chosen[0].value if len(chosen) == 1 else None
    if value is None or value.dtype is torch.bool:
        return []
    with unobserved():
        return [int(i) for i in value.tolist()]
