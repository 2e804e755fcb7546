"""Where an op stops being finite: the value of one argument beyond which its result, or its derivative, is lost.

One table, by the name of the op in ATen and the name of the argument. The thresholds follow from the largest finite
number `M` of the dtype that the op gives, and agree with what was executed, condition by condition, in
tests/data/op_conditions.csv (torch 2.13): exp at ln M (88.72 in float32, 11.09 in float16), sinh and cosh at ln 2M
(89.42), erfcx below -sqrt(ln(M / 2)) (-9.382), squares at sqrt M (1.84e19), x**p at M**(1/p). Derivatives: 1/x of a
logarithm at 1/M (2.94e-39), 1/x^2 of a quotient at 1/sqrt M (5.42e-20), x**-1.5 of rsqrt at M**(-2/3) (2.05e-26).

Rounding moves an edge by at most half a unit in the last place: a cast to float16 ends at 65504, and 65519 still rounds
to that. Ops whose result depends on many elements at once (sums, products of matrices) have no edge of one argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from whynan.replay.trace import OpRecord, TensorRef


@dataclass(frozen=True)
class Edge:
    """`value` and what lies `beyond` it is lost; "at": the value itself and what is too close to it."""

    value: float
    label: str
    beyond: Literal["below", "above", "at"]

    def met(self, low: float | None, high: float | None) -> bool:
        """Numbers between `low` and `high` reach beyond it; "at" always counts, for closeness has no one measure."""
        if low is None or high is None or self.beyond == "at":
            return True
        return low <= self.value if self.beyond == "below" else high >= self.value


@dataclass(frozen=True)
class Call:
    """What a rule may ask: the largest finite result, and the Python numbers and single-element tensors given."""

    largest: float
    given: dict[str, float]


Rule = Callable[[Call], tuple[Edge, ...]]


def _at(value: float, label: str) -> Rule:
    return lambda call: (Edge(value, label, "at"),)


def _below(value: float, label: str) -> Rule:
    return lambda call: (Edge(value, label, "below"),)


def _outside(low: float, high: float, label: str) -> Rule:
    return lambda call: (Edge(low, label, "below"), Edge(high, label, "above"))


def _above(limit: Callable[[float], float], label: str) -> Rule:
    return lambda call: (Edge(limit(call.largest), label, "above"),)


def _beyond(limit: Callable[[float], float], label: str) -> Rule:
    """Lost on both sides."""
    return lambda call: _both(limit(call.largest), label)


def _both(limit: float, label: str) -> tuple[Edge, ...]:
    return (Edge(limit, label, "above"), Edge(-limit, label, "below"))


def _half(limit: float) -> float:
    return math.log(2) + math.log(limit)


def _power(call: Call) -> tuple[Edge, ...]:
    """x**p by its exponent."""
    p = call.given.get("exponent")
    if p is None:
        return (Edge(0.0, "a power of a negative number is NaN unless the exponent is whole", "below"),)
    if p < 0:
        return (Edge(0.0, f"0**{p:g} is infinite", "at"),)
    if p != int(p):
        return (Edge(0.0, f"x**{p:g} of a negative number is NaN", "below"),)
    return _both(call.largest ** (1 / p), f"x**{p:g} overflows") if p > 1 else ()


def _power_slope(call: Call) -> tuple[Edge, ...]:
    """The derivative p * x**(p - 1); that by the exponent takes ln x."""
    p = call.given.get("exponent")
    if p is None:
        return (Edge(0.0, "the derivative takes ln(x)", "below"),)
    if p < 1:
        return (Edge(0.0, f"x**{p - 1:g} is infinite at 0", "at"),)
    if p == 1:
        return ()
    return (Edge(0.0, f"x**{p - 1:g} of a negative number is NaN", "below"),) if p != int(p) else (
        _both(call.largest ** (1 / (p - 1)), f"x**{p - 1:g} overflows")
    )  # fmt: skip


def _exponent(call: Call) -> tuple[Edge, ...]:
    base = call.given.get("self")
    if base is None or base <= 0 or base == 1:
        return ()
    edge = math.log(call.largest) / math.log(base)
    return (Edge(edge, f"{base:g}**x overflows", "above" if edge > 0 else "below"),)


def _factor(call: Call) -> tuple[Edge, ...]:
    """x * c: only where the other factor is one number."""
    other = call.given.get("other")
    if not other or not math.isfinite(other) or abs(other) <= 1:
        return ()
    return _both(call.largest / abs(other), f"times {other:g} overflows")


def _quotient(call: Call) -> tuple[Edge, ...]:
    other = call.given.get("other")
    if not other or not math.isfinite(other) or abs(other) >= 1:
        return ()
    return _both(call.largest * abs(other), f"divided by {other:g} overflows")


def _cast(call: Call) -> tuple[Edge, ...]:
    return _both(call.largest, f"largest finite number after the cast: {call.largest:.6g}")


def _erfcx(call: Call) -> tuple[Edge, ...]:
    return (Edge(-math.sqrt(math.log(call.largest / 2)), "overflows", "below"),)


def _norm(limit: float) -> float:
    """Squares are summed in float32 where the tensor is float16, and only the root has to fit."""
    return limit if limit < 1e6 else math.sqrt(limit)


def _variance(call: Call) -> tuple[Edge, ...]:
    eps = call.given.get("eps", 0.0)
    return (Edge(-eps, "variance + eps is not positive", "below"),)


_LOG = _below(0.0, "the logarithm of 0 is -inf, of less NaN")
_EXP = _above(math.log, "exp overflows")
_ROOT = _below(0.0, "the root of a negative number is NaN")
_ZERO = _at(0.0, "division by 0")
_UNIT = _outside(-1.0, 1.0, "defined within -1 and 1")
_SQUARES = _beyond(math.sqrt, "the square overflows")

FORWARD: dict[str, dict[str, Rule]] = {
    **dict.fromkeys(("log", "log2", "log10"), {"self": _LOG}),
    "log1p": {"self": _below(-1.0, "the logarithm of 0 is -inf, of less NaN")},
    "xlogy": {"other": _LOG},
    "xlog1py": {"other": _below(-1.0, "the logarithm of 0 is -inf, of less NaN")},
    "entr": {"self": _below(0.0, "-x ln x of a negative number is -inf")},
    "logit": {"self": _outside(0.0, 1.0, "ln(x / (1 - x)) is finite between 0 and 1")},
    **dict.fromkeys(("exp", "expm1"), {"self": _EXP}),
    "exp2": {"self": _above(math.log2, "2**x overflows")},
    **dict.fromkeys(("sinh", "cosh"), {"self": _beyond(_half, "overflows")}),
    **dict.fromkeys(("i0", "i1"), {"self": _beyond(math.log, "overflows")}),
    "erfcx": {"self": _erfcx},
    "sqrt": {"self": _ROOT},
    "rsqrt": {"self": _below(0.0, "1/sqrt(0) is infinite, of less NaN")},
    "reciprocal": {"self": _ZERO},
    **dict.fromkeys(("div", "true_divide", "divide"), {"other": _ZERO, "self": _quotient}),
    **dict.fromkeys(("remainder", "fmod", "floor_divide"), {"other": _ZERO}),
    "addcdiv": {"tensor2": _ZERO, "tensors2": _ZERO},
    "pow": {"self": _power, "exponent": _exponent},
    "float_power": {"self": _power, "exponent": _exponent},
    "mul": {"self": _factor, "other": lambda call: _factor(_swapped(call))},
    "square": {"self": _SQUARES},
    "mse_loss": dict.fromkeys(("self", "target"), _beyond(math.sqrt, "the square of a difference overflows")),
    **dict.fromkeys(("linalg_vector_norm", "norm"), {"self": _beyond(_norm, "the sum of squares overflows")}),
    **dict.fromkeys(("acos", "asin", "atanh", "erfinv"), {"self": _UNIT}),
    "acosh": {"self": _below(1.0, "acosh is defined from 1 on")},
    "ndtri": {"self": _outside(0.0, 1.0, "finite between 0 and 1")},
    **dict.fromkeys(("lgamma", "digamma", "polygamma"), {"self": _at(0.0, "a pole at 0")}),
    **dict.fromkeys(("_to_copy", "to", "convert_element_type"), {"self": _cast}),
    "copy": {"src": _cast},
    "igammac": {"self": _below(0.0, "defined from 0 on")},
    "native_batch_norm": {"running_var": _variance},
    "_native_batch_norm_legit_no_training": {"running_var": _variance},
}
"""What the op itself makes non-finite: name of the op -> name of the argument -> its edges."""


def _log_slope(call: Call) -> tuple[Edge, ...]:
    return (Edge(1 / call.largest, "the derivative 1/x overflows", "below"),)


def _rsqrt_slope(call: Call) -> tuple[Edge, ...]:
    return (Edge(call.largest ** (-2 / 3), "the derivative x**-1.5 overflows", "below"),)


def _quotient_slope(call: Call) -> tuple[Edge, ...]:
    return (Edge(0.0, f"the derivative 1/x^2 overflows for |x| up to {call.largest**-0.5:.3g}", "at"),)


_ROOT_SLOPE = _at(0.0, "the derivative 1/(2 sqrt(x)) is infinite at 0")
_UNIT_SLOPE = _outside(-1.0, 1.0, "the derivative is infinite at -1 and 1")

BACKWARD: dict[str, dict[str, Rule]] = {
    **dict.fromkeys(("log", "log2", "log10"), {"self": _log_slope}),
    "log1p": {"self": _below(-1.0, "the derivative 1/(1 + x) is infinite at -1")},
    "xlogy": {"other": _at(0.0, "the derivative x/y is not finite at y = 0")},
    "xlog1py": {"other": _at(-1.0, "the derivative x/(1 + y) is not finite at y = -1")},
    "entr": {"self": _below(0.0, "the derivative -ln(x) - 1 is infinite at 0")},
    "logit": {"self": _outside(0.0, 1.0, "the derivative 1/(x (1 - x)) is infinite at 0 and 1")},
    **dict.fromkeys(("exp", "expm1"), {"self": _EXP}),
    "exp2": {"self": _above(math.log2, "2**x overflows")},
    **dict.fromkeys(("sinh", "cosh"), {"self": _beyond(_half, "the derivative overflows")}),
    "sqrt": {"self": _ROOT_SLOPE},
    "rsqrt": {"self": _rsqrt_slope},
    "reciprocal": {"self": _quotient_slope},
    **dict.fromkeys(("div", "true_divide", "divide"), {"other": _quotient_slope}),
    "pow": {"self": _power_slope, "exponent": _exponent},
    "float_power": {"self": _power_slope, "exponent": _exponent},
    "hypot": dict.fromkeys(("self", "other"), _at(0.0, "the derivative x/hypot is 0/0 where both are 0")),
    **dict.fromkeys(("acos", "asin", "atanh", "erfinv"), {"self": _UNIT_SLOPE}),
    "acosh": {"self": _below(1.0, "the derivative is infinite at 1")},
    **dict.fromkeys(("lgamma", "digamma", "polygamma"), {"self": _at(0.0, "a pole at 0")}),
}
"""What the derivative of the op makes non-finite, by the arguments of the op itself."""


def edges(record: OpRecord, ref: TensorRef, derivative: bool = False, largest: float | None = None) -> tuple[Edge, ...]:
    """The edges of the argument `ref` of an op (of its derivative); empty where no single number says it.

    largest: the largest finite number of another dtype, to ask where the edges would be in that one.
    """
    rules = (BACKWARD if derivative else FORWARD).get(_plain(record.plan.base), {})
    rule = rules.get(ref.name.partition("[")[0])
    made = next((r.dtype for r in record.outputs if r.dtype.is_floating_point), None)
    if rule is None or made is None:
        return ()
    return rule(Call(largest or torch.finfo(made).max, _numbers(record)))


def edge(found: tuple[Edge, ...], low: float | None, high: float | None) -> Edge | None:
    """The one of several edges that numbers between `low` and `high` crossed, or came closest to."""
    if not found or low is None or high is None:
        return found[0] if found else None
    return max(found, key=lambda e: high - e.value if e.beyond == "above" else e.value - low)


def _plain(base: str) -> str:
    """One name for the in-place, list and special variants: "log_", "_foreach_div", "special_xlog1py"."""
    for head in ("_foreach_", "special_"):
        base = base.removeprefix(head)
    return base.removesuffix("_")


def _numbers(record: OpRecord) -> dict[str, float]:
    """The arguments that are one number: Python scalars, and tensors with a single element."""
    given: dict[str, Any] = dict(zip(record.plan.names, record.args)) | record.kwargs
    found = {}
    for name, value in given.items():
        if isinstance(value, TensorRef) and value.shape.numel() == 1:
            value = value.min
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = float(value)
    return found


def _swapped(call: Call) -> Call:
    other = {"other": call.given["self"]} if "self" in call.given else {}
    return Call(call.largest, other)
