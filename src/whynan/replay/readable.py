"""An ATen op as the call that a person would write: `torch.log(x)`, `a / b`, `x.to(torch.float16)`.

Several texts are offered, the most readable first; whoever uses one runs it and looks whether it does the same. The
last is always the op itself, `torch.ops.aten.log.default(x)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from whynan.replay.program import Op, Ref, overload_of
from whynan.replay.schema import plan_of

OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "mm": "@", "bmm": "@", "mv": "@", "dot": "@"}
# the private op below a public function; arguments from a position on are left out
PUBLIC = {
    "_softmax": ("torch.softmax", 2),
    "_log_softmax": ("torch.log_softmax", 2),
    "_safe_softmax": ("torch.softmax", 2),
    "_linalg_svd": ("torch.linalg.svd", 2),
    "_linalg_eigh": ("torch.linalg.eigh", 2),
    "_linalg_det": ("torch.linalg.det", 1),
    "_linalg_slogdet": ("torch.linalg.slogdet", 1),
    "_linalg_solve_ex": ("torch.linalg.solve", 2),
    "_cdist_forward": ("torch.cdist", 3),
    "_prelu_kernel": ("torch.prelu", 2),
    "_weight_norm_interface": ("torch._weight_norm", 3),
}
_HOMES = (("linalg_", "torch.linalg"), ("special_", "torch.special"), ("fft_", "torch.fft"))

Name = Callable[[int], str]  # number of a value -> the variable that holds it


def texts(op: Op, name: Name, output: int = 0) -> list[str]:
    """Expressions for the value that `op.outs[output]` is, by variables that `name` gives. The most readable first."""
    out = op.outs[output]
    plan = plan_of(overload_of(op.name, op.overload))
    written = out.name in plan.names or "[" in out.name and out.name.partition("[")[0] in plan.written
    values = [shown(a, name) for a in op.args]
    options = [f"{key}={shown(a, name)}" for key, a in op.kwargs.items() if not _idle(key, a)]
    position = _position(out.name, plan.results)
    found = [_indexed(text, position if len(plan.results) > 1 or "[" in out.name else None, whole)
             for text, whole in _calls(op, values, options)]  # fmt: skip
    raw = f"torch.ops.aten.{op.base}.{op.overload}"
    if written:
        found += [f"{_copied(values[0])}.{op.base}({', '.join([*values[1:], *options])})"] if _is_method(op) else []
        return found
    return [*found, _indexed(f"{raw}({', '.join([*values, *options])})", position if len(plan.results) > 1 else None)]


def shown(item: Any, name: Name) -> str:
    """An argument as Python."""
    if isinstance(item, Ref):
        return name(item.value)
    if isinstance(item, list):
        return f"[{', '.join(shown(part, name) for part in item)}]"
    if isinstance(item, float) and (item != item or abs(item) == float("inf")):
        return "torch.nan" if item != item else "torch.inf" if item > 0 else "-torch.inf"
    if isinstance(item, torch.device):
        return repr(item.type)
    return str(item) if isinstance(item, (torch.dtype, torch.layout, torch.memory_format)) else repr(item)


def _calls(op: Op, values: Sequence[str], options: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """(text, whether it gives the value itself rather than a tuple), without a trailing underscore's effect."""
    base = op.base.rstrip("_") if not op.base.startswith("__") else op.base
    tail = ", ".join([*values[1:], *options])
    everything = ", ".join([*values, *options])
    tensors = len(values) == 2 and not options
    if base in OPERATORS and tensors and "[" not in "".join(values):
        yield f"{_operand(values[0])} {OPERATORS[base]} {_operand(values[1])}", True
    if base == "rsub" and tensors:
        yield f"{_operand(values[1])} - {values[0]}", True
    if base == "reciprocal":
        yield f"1 / {values[0]}", True
    if base == "_to_copy":
        kind = next((o.partition("=")[2] for o in options if o.startswith("dtype=")), None)
        if kind is not None:
            yield f"{values[0]}.to({kind})", True
    if base == "index" and len(values) == 2:
        yield f"{values[0]}[{values[1][1:-1].replace('None', ':')}]", True
    if base == "native_layer_norm":
        yield f"torch.nn.functional.layer_norm({everything})", True
    if base in ("native_batch_norm", "_native_batch_norm_legit") and len(values) == 8:
        x, weight, bias, mean, var, *rest = values
        yield f"torch.nn.functional.batch_norm({', '.join([x, mean, var, weight, bias, *rest])})", True
    if base == "nll_loss_forward" and len(values) == 5:
        x, target, weight, reduction, ignored = values
        how = {"0": "none", "1": "mean", "2": "sum"}.get(reduction, "mean")
        yield f"torch.nn.functional.nll_loss({x}, {target}, {weight}, reduction={how!r}, ignore_index={ignored})", True
    if base.startswith("_scaled_dot_product") and len(values) >= 3:
        mask = [o for o in options if o.startswith("attn_")] or [
            f"attn_mask={v}" for v in values[3:4] if not _number(v)
        ]
        yield f"torch.nn.functional.scaled_dot_product_attention({', '.join([*values[:3], *mask])})", True
    if base in PUBLIC:
        function, count = PUBLIC[base]
        yield f"{function}({', '.join(values[:count])})", base not in ("_linalg_svd", "_linalg_eigh", "_linalg_slogdet")
    for prefix, home in _HOMES:
        short = base.removeprefix(prefix)
        if base.startswith(prefix) and hasattr(getattr(torch, home.rpartition(".")[2]), short):
            yield f"{home}.{short}({everything})", False
    if hasattr(torch, base) and not base.startswith("_"):
        yield f"torch.{base}({everything})", False
    if hasattr(torch.Tensor, base) and values and not base.startswith("_"):
        yield f"{_operand(values[0])}.{base}({tail})", False
    if hasattr(torch.nn.functional, base) and not base.startswith("_"):
        yield f"torch.nn.functional.{base}({everything})", False


def _indexed(text: str, position: int | None, whole: bool = False) -> str:
    return text if position is None or whole else f"{text}[{position}]"


def _position(name: str, results: tuple[str, ...]) -> int:
    if name in results:
        return results.index(name)
    inside = name.partition("[")[2].rstrip("]")
    return int(inside) if inside.isdecimal() else 0


def _is_method(op: Op) -> bool:
    return hasattr(torch.Tensor, op.base)


def _copied(value: str) -> str:
    return f"{value}.clone()"


def _operand(text: str) -> str:
    """In brackets where an operator would bind wrongly."""
    return f"({text})" if text.startswith("-") or " " in text else text


def _number(text: str) -> bool:
    return text in ("None", "True", "False") or text.replace(".", "").replace("-", "").replace("e", "").isdigit()


def _idle(key: str, value: Any) -> bool:
    """Options that say nothing: pin_memory=False, alpha=1, layout and device as always."""
    return value is None or key in ("pin_memory", "non_blocking", "layout", "device", "memory_format") or (
        key in ("alpha", "beta") and value == 1
    )  # fmt: skip
