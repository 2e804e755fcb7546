"""One step under the microscope: how far every op is from where it stops being finite.

The edges are those of `replay.edges`. An operand that was put at a distance on purpose (a clamp, `+ eps`) is not
reported: it cannot come closer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from whynan.case.preflight import Edge, Problem
from whynan.replay.edges import Edge as Limit
from whynan.replay.edges import edges
from whynan.replay.trace import OpRecord, TensorRef, Trace

CLOSE = 1e-6  # of the operand's size, for an edge at 0; a float32 sum of that size rounds by 6e-8
NEAR = 0.2  # of the edge's own size, for an edge elsewhere: exp at 71 of 88.7
SHOWN = 12
FAR = 0.9  # of the edge: farther operands tell nobody anything
_GUARDS = frozenset({"clamp", "clamp_min", "clamp_max", "maximum", "minimum", "add", "rsub", "hardtanh", "relu6"})


def edges_of_step(trace: Trace) -> tuple[Edge, ...]:
    """The operands closest to an edge, closest first, one for each line and op."""
    best: dict[tuple[object, ...], Edge] = {}
    for record in trace.records:
        if record.phase != "forward":
            continue
        for found in _of_record(trace, record):
            key = (found.file, found.line, found.op, found.argument, found.edge)
            if found.distance < FAR and (key not in best or found.distance < best[key].distance):
                best[key] = found
    return tuple(sorted(best.values(), key=lambda e: e.distance)[:SHOWN])


def problems(found: tuple[Edge, ...]) -> list[Problem]:
    """Those that are too close, as problems."""
    return [_problem(e) for e in found if is_close(e)]


def is_close(edge: Edge) -> bool:
    at_zero = edge.edge.startswith("0 ")
    return edge.distance <= (CLOSE if at_zero else NEAR)


def _of_record(trace: Trace, record: OpRecord) -> Iterator[Edge]:
    differentiable = any(ref.tensor is not None and ref.tensor.requires_grad for ref in record.outputs)
    for ref in record.inputs:
        if not ref.dtype.is_floating_point or _is_guarded(trace, record, ref):
            continue
        for limit in (*edges(record, ref), *(edges(record, ref, derivative=True) if differentiable else ())):
            nearest = _nearest(ref, limit)
            if nearest is not None:
                yield _edge(record, ref, limit, nearest)


def _nearest(ref: TensorRef, limit: Limit) -> float | None:
    """The element closest to the edge, on the side that is still finite or beyond it."""
    if ref.min is None or ref.max is None or math.isnan(ref.min) or math.isnan(ref.max):
        return None
    if limit.beyond == "below":
        return ref.min
    if limit.beyond == "above":
        return ref.max
    if not ref.min < limit.value < ref.max:
        return min(ref.min, ref.max, key=lambda x: abs(x - limit.value))
    value = ref.value
    if value is None:
        return None
    with torch.no_grad():
        flat = value.detach().reshape(-1).double()
        return flat[(flat - limit.value).abs().argmin()].item()


def _edge(record: OpRecord, ref: TensorRef, limit: Limit, nearest: float) -> Edge:
    beyond = {"below": nearest < limit.value, "above": nearest > limit.value, "at": False}[limit.beyond]
    size = abs(limit.value) or (ref.absmax or 0.0)
    distance = 0.0 if beyond else abs(nearest - limit.value) / size if size else 0.0
    site = record.origin.stack[-1] if record.origin.stack else None
    return Edge(
        op=record.op,
        argument=ref.name,
        edge=f"{limit.value:.4g} ({limit.label})",
        nearest=nearest,
        distance=distance,
        dtype=str(ref.dtype).removeprefix("torch."),
        file=site.file if site else None,
        line=site.line if site else None,
        expression=site.expression if site else None,
        module=record.module,
        phase=record.phase,
    )


def _is_guarded(trace: Trace, record: OpRecord, ref: TensorRef) -> bool:
    """Was the operand bounded by the op that made it: clamped, or a non-negative number plus a constant?"""
    maker = trace.producer(ref)
    if maker is None or maker.plan.base.removesuffix("_") not in _GUARDS:
        return False
    if maker.plan.base.removesuffix("_") in ("add", "rsub"):
        added = [v for v in (*maker.args, *maker.kwargs.values()) if isinstance(v, float) and v > 0]
        return bool(added) and ref.min is not None and ref.min >= min(added) * (1 - 1e-3)
    return True


def _problem(edge: Edge) -> Problem:
    where = f"{edge.file}:{edge.line}" if edge.file else edge.op
    text = edge.expression or edge.op
    return Problem(
        part="step",
        kind="close-to-edge" if edge.distance > 0 else "beyond-edge",
        severity="warning",
        where=where,
        message=f"`{text}`: {edge.argument} of {edge.op} is close to {edge.edge}",
        measured=f"nearest element {edge.nearest:.4g}, {edge.distance:.1e} of its size away",
        file=edge.file,
        line=edge.line,
    )


def nonfinite(trace: Trace) -> list[Problem]:
    """The first op of the step that gives a non-finite number from finite ones: the run fails at once."""
    for record in trace.records:
        if record.phase in ("forward", "backward") and record.state == "born":
            site = record.origin.stack[-1] if record.origin.stack else None
            return [
                Problem(
                    part="step",
                    kind="nonfinite-at-once",
                    severity="error",
                    where=f"{site.file}:{site.line}" if site else record.op,
                    message=f"{record.op} in {record.phase} gives a non-finite number in the first step",
                    measured="; ".join(repr(ref) for ref in record.inputs[:3]),
                    remedy="whynan run tells why, and what cures it",
                    file=site.file if site else None,
                    line=site.line if site else None,
                )
            ]
    return []
