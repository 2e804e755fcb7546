"""How the op of the birth left the finite numbers: one word for each mechanism, from its operands at the bad elements.

The mechanism is not the cause: "overflow" may come from the learning rate, a batch or the initialization.
Conditions are those of op_conditions.csv, each executed on torch 2.13.
"""

from __future__ import annotations

import math

from whynan.diagnose.inquest import Inquest, measurement
from whynan.diagnose.measurements.again import in_float64
from whynan.diagnose.measurements.event import Event, event
from whynan.diagnose.measurements.linalg import is_linalg
from whynan.diagnose.measurements.operands import Operand, Operands, operands

LOGS = frozenset({"log", "log2", "log10", "log1p", "xlogy", "special_xlog1py", "xlog1py", "logit", "special_logit"})
POLES = frozenset({"atanh", "erfinv", "special_erfinv", "special_ndtri", "ndtri"})
ROOTS = frozenset({"sqrt", "acos", "asin", "acosh", "special_entr", "igammac", "igamma"})
EXPS = frozenset(
    "exp exp2 expm1 sinh cosh i0 i1 special_i0 special_i1 special_erfcx erfcx linalg_matrix_exp "
    "poisson_nll_loss soft_margin_loss".split()
)
DIVISIONS = frozenset("div true_divide divide reciprocal rsqrt remainder fmod addcdiv floor_divide".split())
MEANS = frozenset({"mean", "median", "nanmean", "nanmedian", "segment_reduce"})
SPREADS = frozenset({"std", "var", "std_mean", "var_mean"})
SOFTMAXES = frozenset(
    "_softmax _log_softmax logsumexp softmax log_softmax logaddexp logcumsumexp _safe_softmax".split()
)
NORMALIZERS = frozenset(
    "native_layer_norm native_group_norm native_batch_norm rms_norm _fused_rms_norm _weight_norm_interface".split()
)
ALLOCATIONS = frozenset("empty new_empty empty_like empty_strided empty_permuted resize".split())
POLYGAMMAS = frozenset({"lgamma", "digamma", "polygamma", "mvlgamma"})
SINGULAR = frozenset(
    "sqrt rsqrt pow log log2 log10 log1p acos asin acosh atanh hypot xlogy specialxlog1py specialentr "
    "reciprocal div norm erfinv logit linalgvectornorm cdist dist specialndtri addcdiv".split()
)


@measurement
def mechanism(inquest: Inquest) -> str:
    """See the words in `_forward`, `_backward` and `_optimizer`; "unknown" where nothing fits."""
    e, given = event(inquest), operands(inquest)
    if e is None:
        return "unknown"
    if inquest.finding is not None and inquest.finding.uninitialised or e.base in ALLOCATIONS:
        return "uninitialised"
    if e.base == "" and not e.node:
        return "unknown"
    if e.phase == "optimizer":
        return _optimizer(inquest, e, given)
    if e.node == "pow" and _negative_base(e, given):
        return "domain"
    if e.nonfinite_scalar is not None:
        return "nonfinite-scalar"
    if _first_reader(inquest):
        return "masked" if e.base in SOFTMAXES and masked_rows(inquest) else "entered"
    if is_linalg(e.node or e.base):
        return "linalg"
    if e.node is not None:
        return _backward(e, given)
    return _forward(inquest, e, given)


def _optimizer(inquest: Inquest, e: Event, given: Operands | None) -> str:
    if e.nonfinite_scalar is not None:
        return "nonfinite-scalar"
    divisor = _divisor(given, e)
    if e.base in DIVISIONS and (divisor == "zero" or divisor is None and e.kind == "nan"):
        return "div-zero"
    if e.base == "sqrt":
        return "domain"
    if "fused" in e.base:
        return "div-zero" if e.kind == "nan" else "overflow"
    if e.base in DIVISIONS:
        return "div-tiny"
    return "overflow"


def _first_reader(inquest: Inquest) -> bool:
    """The birth is only the first op that read a tensor which was bad on entry."""
    finding, birth = inquest.finding, inquest.birth
    if finding is None or birth is None or finding.state != "carried" or not finding.path:
        return False
    return finding.path[0].op == birth.op


def _negative_base(e: Event, given: Operands | None) -> bool:
    """The derivative of a power of a negative number: the forward value may be right, a logarithm in it is not."""
    base = next((o for o in (given.forward if given is not None else ()) if o.name == "self"), None)
    return e.kind == "nan" and (base is not None and base.low is not None and base.low < 0)


def _backward(e: Event, given: Operands | None) -> str:
    node = e.node or ""
    if node not in SINGULAR and node not in ("std", "var", "linalgnorm"):
        return "exp" if node == "exp" and e.base == "exp" else "overflow"
    if given is None:
        return "singular"
    divisor = given.of("other")
    if node == "div" and e.base in ("div", "mul", "reciprocal"):
        denominator = next((o for o in given.forward if o.name.partition("[")[0] == "other"), divisor)
        if denominator is not None and denominator.small is not None and denominator.small > 0:
            return "derivative-overflow"
    if e.base in ("mul", "sum", "mm") and given.given and all((o.small or 1) > 0 for o in given.given if not o.integer):
        argument = given.forward_argument()
        if argument is not None and argument.small is not None and argument.small > 1e-3 and node in ("pow", "div"):
            return "overflow"  # x**3 of a large x, say: no singularity near
    return "singular"


def _forward(inquest: Inquest, e: Event, given: Operands | None) -> str:
    base = e.base
    x = given.argument() if given is not None else None
    if base in LOGS:
        return _logarithm(e, given)
    if base in POLES:
        return "pole" if e.kind == "inf" else "domain"
    if base in ROOTS:
        return "domain"
    if base in POLYGAMMAS:
        return "overflow" if x is not None and x.small is not None and x.small > 1e3 else "domain"
    if base in DIVISIONS:
        if base == "rsqrt" and e.kind == "nan":
            return "domain"
        return "div-zero" if _divisor(given, e) in ("zero", None) else "div-tiny"
    if base == "pow" or base == "float_power":
        return _power(e, given)
    if base in EXPS:
        return "exp"
    if base in ("_to_copy", "to", "copy"):
        return "cast"
    if base in SOFTMAXES:
        rows = masked_rows(inquest)
        return "masked" if rows or rows is None and e.kind == "nan" else "infinities" if x and x.placed else "overflow"
    if base.startswith("_scaled_dot_product") or base == "_transformer_encoder_layer_fwd":
        return "masked" if given is not None and any(o.placed for o in given.given) and not _huge(given) else "overflow"
    if base in MEANS or base in SPREADS:
        return _reduction(base, inquest, x)
    if base.startswith("nll_loss"):
        return "all-ignored" if e.kind == "nan" else "overflow"
    if base.startswith(("_ctc_loss", "ctc_loss", "_cudnn_ctc")):
        return "alignment"
    if base in NORMALIZERS:
        variance = given.of("running_var") if given is not None else None
        if variance is not None and variance.low is not None and variance.low < 0:
            return "domain"
        return "overflow" if given is not None and _huge(given) else "div-zero"
    if inquest.finding is not None and inquest.finding.state == "placed":
        return "placed"
    if e.kind == "nan" and given is not None and any(o.placed for o in given.given):
        return "infinities"
    return "overflow"


def _logarithm(e: Event, given: Operands | None) -> str:
    if e.kind == "inf":
        return "log-zero"
    x = given.of("other", "self") if given is not None and e.base in ("xlogy", "xlog1py", "special_xlog1py") else None
    x = x or (given.argument() if given is not None else None)
    if x is None or x.low is None:
        return "domain"
    if e.base == "logit":
        return "domain" if x.low < 0 or (x.high or 0) > 1 else "log-zero"
    edge = -1.0 if e.base in ("log1p", "xlog1py", "special_xlog1py") else 0.0
    return "domain" if x.low < edge else "log-zero"


def _power(e: Event, given: Operands | None) -> str:
    x = given.of("self") if given is not None else None
    power = given.of("exponent") if given is not None else None
    exponent = e.scalars.get("exponent", power.low if power is not None and power.low is not None else 2.0)
    base_low = x.low if x is not None and x.low is not None else e.scalars.get("self", 1.0)
    small = x.small if x is not None and x.small is not None else abs(base_low)
    if e.kind == "nan":
        return "domain" if base_low < 0 or x is None else "overflow"
    if exponent < 0 and small == 0:
        return "div-zero"
    return "div-tiny" if exponent < 0 and small < 1 else "overflow"


def _reduction(base: str, inquest: Inquest, x: Operand | None) -> str:
    if x is None:
        return "empty"
    record = inquest.record
    made = record.outputs[0].shape.numel() if record is not None and record.outputs else 1
    each = x.numel / max(1, made)
    if each == 0 or x.numel == 0:
        return "empty"
    if base in SPREADS and each <= 1:
        return "one-element"
    again = in_float64(inquest)
    return "overflow" if again is None or again.finite or each > 1 else "empty"


def _divisor(given: Operands | None, e: Event) -> str | None:
    """ "zero", "tiny" (not zero at any bad element), or None when it was not seen."""
    scalar = e.scalars.get("other", e.scalars.get("scalars"))
    if scalar is not None:
        return "zero" if scalar == 0 else "tiny"
    if given is None:
        return None
    found = given.of("tensor2", "denominator", "other", "tensors2") or (
        given.of("self", "input") if e.base in ("reciprocal", "rsqrt") else None
    )
    if found is None or found.small is None:
        return None
    return "zero" if found.zeros else "tiny"


@measurement
def masked_rows(inquest: Inquest) -> int:
    """How many rows that a softmax was given are -inf everywhere."""
    finding = inquest.finding
    record = inquest.record or (finding.path[0] if finding is not None and finding.path else None)
    assert record is not None
    value, dim = record.inputs[0].value, next((a for a in record.args[1:] if isinstance(a, (int, list))), -1)
    assert value is not None
    if len(record.inputs) > 1 and record.plan.base == "logaddexp":
        other = record.inputs[1].value
        return int(((value == -math.inf) & (other == -math.inf)).sum())
    axes = dim if isinstance(dim, list) else [dim]
    masked = value == -math.inf
    for axis in axes:
        masked = masked.all(axis, keepdim=True)
    return int(masked.sum())


def _huge(given: Operands) -> bool:
    return any((o.absmax or 0) > 1e15 for o in given.given if not o.integer)
