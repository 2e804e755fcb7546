"""What if this step ran in half precision: for every op of the user's source the number that comes closest to an edge.

Edges are those of `replay.edges`, with the largest number of float16 (65504) or bfloat16 (3.39e38) in the place of the
step's own; a number below half of the smallest subnormal (5.96e-8, 9.18e-41) rounds to 0, and one that is nearer to
another edge than it rounds (1 - 2**-12 is 1 in float16) to that edge. Results and gradients are held against the range.
Derivatives have no rows of their own: the gradients that were measured say what they do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from whynan.case.preflight import OpHeadroom, Problem
from whynan.preflight.step import differentiated, is_guarded, nearest_to
from whynan.replay.edges import Edge as Limit
from whynan.replay.edges import edges
from whynan.replay.trace import OpRecord, TensorRef, Trace

KEPT = 50  # rows of operands, and as many of results and gradients; the tightest
RANGES = ("result", "gradient")
FITS, FAR = "fits", 38.0  # where bfloat16 has nothing to say
HALVES = (torch.float16, torch.bfloat16)
_ADDITIVE = frozenset({"exp", "expm1", "exp2", "sinh", "cosh", "i0", "i1", "erfcx"})  # their result is what grows
_MOVES = frozenset({"view", "_unsafe_view", "t", "transpose", "permute", "expand", "slice", "select", "clone", "detach",
                    "unsqueeze", "squeeze", "reshape", "alias", "split", "unbind", "copy", "_to_copy", "cat", "stack",
                    "index", "embedding", "as_strided", "lift_fresh", "zeros_like", "ones_like",
                    "masked_fill", "where", "neg"})  # fmt: skip
FLOAT32 = frozenset({
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "sinh",
    "tan", "pow", "_softmax", "_log_softmax", "native_layer_norm", "_fused_rms_norm", "native_group_norm",
    "linalg_vector_norm", "norm", "binary_cross_entropy_with_logits", "cumprod", "cumsum", "_cdist_forward",
    "_pdist_forward", "prod", "renorm", "sum", "logsumexp", "softplus", "nll_loss_forward", "nll_loss2d_forward",
    "smooth_l1_loss", "huber_loss", "mse_loss", "multi_margin_loss", "multilabel_margin_loss_forward",
    "soft_margin_loss",
})  # fmt: skip
"""Ops of ATen that torch.autocast on CUDA computes in float32 (torch 2.13, "CUDA Ops that autocast to float32")."""


@dataclass(frozen=True)
class _Row:
    """One number against one dtype. room: powers of ten, 0 or less where it is lost."""

    argument: str
    nearest: float
    room: float
    told: str


def headroom_of_ops(trace: Trace) -> tuple[OpHeadroom, ...]:
    """For each line and op the operand that comes closest to an edge in float16, and the result or gradient."""
    best: dict[tuple[object, ...], OpHeadroom] = {}
    gradients = _gradients(trace)
    differs = {id(record) for record in differentiated(trace)}
    halves = [record for record in trace.records if record.phase == "forward" and _made(record) in HALVES]
    for record in trace.records:
        if record.phase != "forward" or _base(record) in _MOVES or record.site is None:
            continue
        if halves and _made(record) not in HALVES:  # mixed precision: what is float32 now stays so
            continue
        measured = [
            [list(_operands(trace, record, dtype)), list(_ranges(record, gradients.get(id(record), ()), dtype))]
            if id(record) in differs else [] for dtype in HALVES
        ]  # fmt: skip
        constants = [list(_constants(record, dtype)) for dtype in HALVES]
        for half, brain in zip(*([*rows, eps] for rows, eps in zip(measured, constants, strict=True)), strict=True):
            if half and (row := _row_of(record, half, brain)) is not None:
                key = (row.file, row.line, row.op, row.module, row.argument in RANGES)
                if key not in best or row.room_float16 < best[key].room_float16:
                    best[key] = row
    tightest = sorted(best.values(), key=lambda row: row.room_float16)
    ranges = [row for row in tightest if row.argument in RANGES]
    others = [row for row in tightest if row.argument not in RANGES]
    return tuple(sorted([*others[:KEPT], *ranges[:KEPT]], key=lambda row: row.room_float16))


def eps_problems(trace: Trace) -> list[Problem]:
    """An eps that is 0 in the dtype in which this very step adds it."""
    found: dict[tuple[object, ...], Problem] = {}
    for record in trace.records:
        site, made = record.site, next((ref.dtype for ref in record.outputs), None)
        if record.phase != "forward" or site is None or made is None or not made.is_floating_point:
            continue
        for eps in small_constants(record):
            if eps <= _zero(torch.finfo(made)):
                kind, where = str(made).removeprefix("torch."), f"{site.file}:{site.line}"
                shown = f"`{site.expression}`: " if site.expression and len(site.expression) <= 60 else ""
                found[where, eps] = Problem(
                    part="step", kind="eps-rounds-away", severity="warning", where=where,
                    message=f"{shown}{eps:g} is 0 in {kind}: it guards nothing", measured=f"{record.op} in {kind}",
                    causes=("low-precision-underflow",), remedy="eps = 1e-4  # or this line in float32: x.float()",
                    file=site.file, line=site.line,
                )  # fmt: skip
    return list(found.values())


def _row_of(record: OpRecord, half: list[_Row], brain: list[_Row]) -> OpHeadroom | None:
    made = _made(record)
    if made is None or any(ref.bad for ref in record.outputs):
        return None
    row, site = min(half, key=lambda row: row.room), record.site
    other = min(brain, key=lambda row: row.room, default=None)
    assert site is not None
    return OpHeadroom(
        op=record.op, argument=row.argument, dtype=str(made).removeprefix("torch."), nearest=row.nearest,
        float16=row.told, bfloat16=other.told if other is not None else FITS, room_float16=max(row.room, 0.0),
        room_bfloat16=max(other.room, 0.0) if other is not None else FAR, autocast=_base(record) in FLOAT32,
        file=site.file, line=site.line, expression=site.expression, module=record.module,
    )  # fmt: skip


def _operands(trace: Trace, record: OpRecord, dtype: torch.dtype) -> Iterator[_Row]:
    info = torch.finfo(dtype)
    for ref in record.inputs:
        if ref.dtype.is_floating_point and not is_guarded(trace, record, ref):
            for limit in edges(record, ref, largest=info.max):
                nearest = nearest_to(ref, limit)
                if nearest is not None and math.isfinite(nearest):
                    yield from _operand(ref.name, nearest, limit, _base(record), info)


def _ranges(record: OpRecord, gradients: Iterable[TensorRef], dtype: torch.dtype) -> Iterator[_Row]:
    """The result (others of an op are sums of weights, or kept in float32), and what its derivative gave."""
    info = torch.finfo(dtype)
    for ref in record.outputs[:1]:
        yield from _range("result", ref.absmax, info)
    for ref in gradients:
        yield from _range("gradient", ref.absmax, info)


def _operand(name: str, nearest: float, limit: Limit, base: str, info: torch.finfo) -> Iterator[_Row]:
    """An operand against one edge. One that is beyond it already is no matter of precision."""
    edge, label = limit.value, limit.label
    beyond = {"below": nearest <= edge, "above": nearest >= edge, "at": nearest == edge}[limit.beyond]
    if edge == 0.0:
        if not beyond:
            room = math.log10(abs(nearest) / _zero(info))
            yield _row(name, nearest, room, f"{_times(room)} above {_zero(info):.1g}", f"rounds to 0: {label}")
    elif base in _ADDITIVE:
        gap = abs(edge - nearest) * (-1 if beyond else 1)
        side = "below" if limit.beyond == "above" else "above"
        yield _row(name, nearest, gap / math.log(10), f"{gap:.3g} {side} {edge:.4g}", f"beyond {edge:.4g}: {label}")
    elif abs(edge) <= 1.0:  # the ends of a domain
        if not beyond:
            away = abs(nearest - edge)
            room = math.log10(away / (abs(edge) * info.eps / 2))
            yield _row(name, nearest, room, f"{away:.2g} from {edge:g}", f"rounds to {edge:g}: {label}")
    elif nearest:
        room = math.log10(abs(edge / nearest))
        yield _row(name, nearest, room, f"{_times(room)} below {abs(edge):.4g}", f"beyond {edge:.4g}: {label}")


def _range(name: str, absmax: float | None, info: torch.finfo) -> Iterator[_Row]:
    """The largest magnitude of a result or a gradient against the range. All of a gradient may vanish."""
    if not absmax or not math.isfinite(absmax):
        return
    above, below = math.log10(info.max / absmax), math.log10(absmax / _zero(info))
    yield _row(name, absmax, above, f"{_times(above)} below {info.max:.4g}", f"overflows {info.max:.4g}")
    if name == "gradient":
        yield _row(name, absmax, below, f"{_times(below)} above {_zero(info):.1g}", "all of it rounds to 0")


def _constants(record: OpRecord, dtype: torch.dtype) -> Iterator[_Row]:
    """A small number that is added, or clamped to, and that guards nothing once it is 0."""
    zero = _zero(torch.finfo(dtype))
    for eps in small_constants(record):
        if eps <= zero:
            yield _Row(f"{eps:g}", eps, 0.0, "rounds to 0: it guards nothing")


def small_constants(record: OpRecord) -> list[float]:
    """Positive numbers below 1e-3 that this op adds, or clamps to: an eps."""
    if _base(record) not in ("add", "clamp", "clamp_min", "rsub"):
        return []
    values = (*record.args, *record.kwargs.values())
    return [v for v in values if isinstance(v, float) and 0 < v < 1e-3]


def _row(argument: str, nearest: float, room: float, told: str, lost: str) -> _Row:
    return _Row(argument, nearest, room, told if room > 0 else lost)


def _zero(info: torch.finfo) -> float:
    """Half of the smallest subnormal number: this and less rounds to 0."""
    return info.smallest_normal * info.eps / 2


def _times(room: float) -> str:
    return "far" if room > 6 else f"{10**room:,.3g} times" if room < 4 else f"{10**room:.0e} times"


def _made(record: OpRecord) -> torch.dtype | None:
    return next((ref.dtype for ref in record.outputs if ref.dtype.is_floating_point), None)


def _base(record: OpRecord) -> str:
    return record.plan.base.removesuffix("_")


def _gradients(trace: Trace) -> dict[int, list[TensorRef]]:
    """Forward op -> what its node of the backward pass gave."""
    found: dict[int, list[TensorRef]] = {}
    for record in trace.records:
        if record.phase == "backward" and record.forward is not None and not record.inside:
            found.setdefault(id(record.forward), []).extend(record.outputs)
    return found
