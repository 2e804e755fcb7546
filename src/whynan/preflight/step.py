"""One step under the microscope: how far every op is from where it stops being finite.

The edges are those of `replay.edges`. An operand that was put at a distance on purpose (a clamp, `+ eps`) is not
reported: it cannot come closer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch

from whynan.case.preflight import Edge, Problem
from whynan.preflight.births import Where
from whynan.replay.edges import Edge as Limit
from whynan.replay.edges import edges
from whynan.replay.trace import OpRecord, TensorRef, Trace
from whynan.watch.userfiles import is_user_file

if TYPE_CHECKING:
    from whynan.preflight.tries import Failure

CLOSE = 1e-6  # of the operand's size, for a difference near 0; a float32 sum of that size rounds by 6e-8
NEAR = 0.2  # of the edge's own size, for an edge elsewhere: exp at 71 of 88.7
SHOWN = 12
FAR = 0.9  # of the edge: farther operands tell nobody anything
_CANCELS = frozenset({"sub", "rsub", "var", "std", "var_mean"})  # what these give can round to 0
_EXPONENTIALS = frozenset({"exp", "expm1", "exp2"})
_GUARDS = frozenset({"clamp", "clamp_min", "clamp_max", "maximum", "minimum", "add", "rsub", "hardtanh", "relu6"})


def edges_of_step(trace: Trace) -> tuple[Edge, ...]:
    """The operands closest to an edge, closest first, one for each line and op."""
    best: dict[tuple[object, ...], Edge] = {}
    for record in differentiated(trace):
        for found in _of_record(trace, record):
            key = (found.file, found.line, found.op, found.argument)
            if found.distance < FAR and (key not in best or found.distance < best[key].distance):
                best[key] = found
    return tuple(sorted(best.values(), key=lambda e: e.distance)[:SHOWN])


def differentiated(trace: Trace) -> list[OpRecord]:
    """The ops of the forward pass whose derivative the backward pass took; all of them where it was not reached."""
    reached = {id(r.forward) for r in trace.records if r.phase == "backward" and r.forward is not None}
    return [r for r in trace.records if r.phase == "forward" and (not reached or id(r) in reached)]


def problems(found: tuple[Edge, ...], failure: Problem | None = None) -> list[Problem]:
    """Those that are too close, as problems. Beyond an edge in a step that stayed finite: it was absorbed.

    failure: of this step; what is beyond an edge in it is no news, and one at its line is the failure itself.
    """
    close = [e for e in found if is_close(e)]
    if failure is not None:
        close = [e for e in close if e.distance > 0 and (e.file, e.line) != (failure.file, failure.line)]
    return list(map(_problem, close))


def is_close(edge: Edge) -> bool:
    """Near 0 numbers are close where they round to it (differences), or where half of the exponents are used up."""
    if not edge.edge.startswith("0 "):
        return edge.distance <= NEAR
    if edge.cancels and edge.distance <= CLOSE:
        return True
    info = torch.finfo(getattr(torch, edge.dtype))
    return abs(edge.nearest) <= math.sqrt(info.smallest_normal * info.eps)


def exponentials(trace: Trace) -> dict[tuple[str, int], tuple[float, float]]:
    """Line -> (largest operand, where it overflows) of the exponential of that line that comes closest."""
    found: dict[tuple[str, int], tuple[float, float]] = {}
    for record in trace.records:
        if record.phase != "forward" or record.site is None or record.plan.base.removesuffix("_") not in _EXPONENTIALS:
            continue
        place = (record.site.file, record.site.line)
        for ref in record.inputs:
            for limit in edges(record, ref):
                known = found.get(place)
                if ref.max is not None and (known is None or known[0] / known[1] < ref.max / limit.value):
                    found[place] = (ref.max, limit.value)
    return found


def _of_record(trace: Trace, record: OpRecord) -> Iterator[Edge]:
    for ref in record.inputs:
        if not ref.dtype.is_floating_point or is_guarded(trace, record, ref):
            continue
        for limit in (*edges(record, ref), *edges(record, ref, derivative=True)):
            nearest = nearest_to(ref, limit)
            if nearest is not None and math.isfinite(nearest):  # an infinity was put there: a mask
                yield _edge(trace, record, ref, limit, nearest)


def nearest_to(ref: TensorRef, limit: Limit) -> float | None:
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


def _edge(trace: Trace, record: OpRecord, ref: TensorRef, limit: Limit, nearest: float) -> Edge:
    beyond = {"below": nearest < limit.value, "above": nearest > limit.value, "at": False}[limit.beyond]
    size = abs(limit.value) or (ref.absmax or 0.0)
    distance = 0.0 if beyond else abs(nearest - limit.value) / size if size else 0.0
    site = record.origin.stack[-1] if record.origin.stack else None
    maker = trace.producer(ref)
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
        cancels=maker is not None and maker.plan.base.removesuffix("_") in _CANCELS,
    )


def is_guarded(trace: Trace, record: OpRecord, ref: TensorRef) -> bool:
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
    absorbed = edge.distance == 0
    verb = "is at or beyond" if absorbed else "is close to"
    return Problem(
        part="step",
        kind="beyond-edge" if absorbed else "close-to-edge",
        severity="note" if absorbed else "warning",
        where=where,
        message=f"{_shown(edge.expression)}{edge.argument} of {edge.op} {verb} {edge.edge}",
        measured=f"nearest element {edge.nearest:.4g}"
        + (", and the step came out finite" if absorbed else f", {edge.distance:.1e} of its size away"),
        causes=_CAUSES.get(edge.op.removeprefix("aten::").partition(".")[0].removesuffix("_"), ()),
        file=edge.file,
        line=edge.line,
    )


def _shown(expression: str | None) -> str:
    """A whole loop or `with` block says less than the op."""
    return f"`{expression}`: " if expression and len(expression) <= 60 else ""


_CAUSES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("log", "log2", "log10", "xlogy", "log1p"), ("log-of-zero",)),
    **dict.fromkeys(("exp", "expm1", "exp2"), ("exp-overflow",)),
    **dict.fromkeys(("div", "reciprocal"), ("division-by-zero",)),
    **dict.fromkeys(("sqrt", "rsqrt", "acos", "asin"), ("singular-gradient", "domain-error")),
    **dict.fromkeys(("pow", "square", "mul", "mse_loss"), ("arithmetic-overflow",)),
    "_to_copy": ("low-precision-overflow",),
}


def failed(message: str, where: Where | None) -> Problem:
    """The step itself gives a non-finite loss or gradient: the run fails at once."""
    return Problem(
        part="step",
        kind="nonfinite-at-once",
        severity="error",
        where=where.place if where else "the first step",
        message=f"{message} in the first step" + (f": {where.message}" if where else ""),
        measured=where.measured if where else "",
        file=where.file if where else None,
        line=where.line if where else None,
    )


def raised(error: BaseException, where: Where | None) -> Problem:
    """The first step raises; `where`: a non-finite value that this comes from."""
    file, line = _user_line(error)
    said = str(error).splitlines()[0] if str(error) else ""
    return Problem(
        part="step",
        kind="raises-at-once",
        severity="error",
        where=where.place if where else f"{file}:{line}" if file else "the first step",
        message=f"the first step raises {type(error).__name__}: {said}" + (f"; {where.message}" if where else ""),
        measured=where.measured if where else "",
        causes=("indexing-or-padding",) if isinstance(error, IndexError) else (),
        file=where.file if where else file,
        line=where.line if where else line,
    )


def failed_later(message: str, iteration: int, where: Where | None, raised: bool = False) -> Problem:
    """One of the first iterations fails, after others that trained. iteration: counted from the first update."""
    return Problem(
        part="step",
        kind="raises-early" if raised else "fails-early",
        severity="error",
        where=where.place if where else f"iteration {iteration}",
        message=f"{message} {iteration} iterations after the first update" + (f": {where.message}" if where else ""),
        measured=where.measured if where else "",
        file=where.file if where else None,
        line=where.line if where else None,
    )


def _user_line(error: BaseException) -> tuple[str | None, int | None]:
    """The innermost line of the user's own code that the error passed."""
    found: tuple[str | None, int | None] = None, None
    traceback = error.__traceback__
    while traceback is not None:
        if is_user_file(traceback.tb_frame.f_code.co_filename):
            found = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def failed_batches(failures: Iterable[Failure], failed: int, tried: int) -> Iterator[Problem]:
    """Batches with which the step fails, one for each place."""
    seen: set[tuple[object, ...]] = set()
    for failure in failures:
        where = failure.where
        key = (where.place, where.message) if where else (failure.message,)
        if key in seen:
            continue
        seen.add(key)
        yield Problem(
            part="data" if where is not None and where.file is None else "step",
            kind="batch-raises" if failure.raised else "batch-fails",
            severity="warning" if failure.raised else "error",
            where=where.place if where else f"batch {failure.number}",
            message=f"{failure.message} with batch {failure.number}" + (f": {where.message}" if where else ""),
            measured=f"{failed:,} of {tried:,} batches fail at the initial weights"
            + (f"; {where.measured}" if where else ""),
            samples=failure.samples,
            file=where.file if where else None,
            line=where.line if where else None,
        )
