"""The op of the birth kept inside its domain, at that line only; everything else runs as it is.

Most guards are put on by a function mode, above autograd, so that the derivative is guarded as well. Ops that PyTorch
calls on the user's behalf (the softmax inside of an attention layer) are out of reach there and are guarded by a
dispatch mode; their derivatives only use the result.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from whynan.diagnose.counterfactuals.base import experiment
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.event import event
from whynan.diagnose.measurements.fill import leftover
from whynan.diagnose.measurements.linalg import is_linalg
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.replay.eager import eager
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot

Guarded = Callable[[Callable[..., Any], list[Any], dict[str, Any]], Any]


def tiny(x: Tensor) -> float:
    """Small for the values a step works with, and far from the edge in this precision."""
    return 1e-3 if x.dtype is torch.float16 else 1e-10


def _floor(low: float | None = None, at: int = 0) -> Guarded:
    """Keep argument `at` above `low` (default: a tiny positive number)."""

    def guarded(func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        x = args[at]
        if isinstance(x, Tensor) and x.is_floating_point():
            args[at] = x.clamp_min(tiny(x) if low is None else low)
        return func(*args, **kwargs)

    return guarded


def _between(low: float, high: float) -> Guarded:
    def guarded(func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        x = args[0]
        margin = 1e-3 if x.dtype in (torch.float16, torch.bfloat16) else 1e-6
        args[0] = x.clamp(low + margin, high - margin)
        return func(*args, **kwargs)

    return guarded


def _ceiling(func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """exp and its kin: far enough below the edge that a few products of the result still fit."""
    x = args[0]
    limit = 5.0 if x.dtype is torch.float16 else 40.0
    args[0] = x.clamp(-limit * 2, limit)
    return func(*args, **kwargs)


def _away(x: Any) -> Any:
    if isinstance(x, Tensor):
        if not (x.is_floating_point() or x.is_complex()):
            return torch.where(x == 0, torch.ones_like(x), x)
        return torch.where(x.abs() <= (1e-4 if x.dtype is torch.float16 else 1e-18), torch.ones_like(x), x)
    return x if x != 0 else 1.0


def _divisor(func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """A divisor of zero becomes one."""
    at = 0 if func.__name__ in ("reciprocal", "reciprocal_", "__rtruediv__", "__rdiv__") else 1
    if len(args) > at:
        args[at] = _away(args[at])
    if func.__name__.startswith("addcdiv"):
        args[2] = _away(args[2])
    return func(*args, **kwargs)


def _not_empty(func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The mean of nothing is 0; the deviation of one element is 0."""
    x = args[0]
    name = func.__name__
    if isinstance(x, Tensor) and x.numel() == 0:
        return x.sum()
    if name.startswith(("std", "var")):
        return func(
            x, *[a for a in args[1:] if not isinstance(a, bool)], **{**_without(kwargs, "unbiased"), "correction": 0}
        )
    return func(*args, **kwargs)


def _some_target(func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    result = func(*args, **kwargs)
    if isinstance(result, Tensor) and result.numel() == 1 and not bool(torch.isfinite(result)):
        return (args[0] * 0).sum() if bool(torch.isfinite(args[0]).all()) else result
    return result


def _jitter(func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Distinct numbers of a thousandth of the matrix' size on its diagonal."""
    a = args[0]
    if isinstance(a, Tensor) and a.dim() >= 2 and a.is_floating_point():
        n = min(a.shape[-2:])
        size = a.detach().abs().mean().clamp_min(1e-6)
        extra = torch.zeros(a.shape[-2:], dtype=a.dtype, device=a.device)
        extra.diagonal().copy_(torch.linspace(1, 2, n, dtype=a.dtype, device=a.device) * size * 1e-3)
        args[0] = a + extra
    return func(*args, **kwargs)


def _aligned(func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) > 6:
        args[6] = True
    else:
        kwargs["zero_infinity"] = True
    return func(*args, **kwargs)


def _filled(func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """0 in the place of infinities."""

    def mended(x: Any) -> Any:
        floating = isinstance(x, Tensor) and x.is_floating_point()
        return x.masked_fill(x.isinf(), 0.0) if floating and bool(x.isinf().any()) else x

    return func(*map(mended, args), **kwargs)


def _without(kwargs: dict[str, Any], name: str) -> dict[str, Any]:
    return {k: v for k, v in kwargs.items() if k != name}


_DIV = (
    "div div_ true_divide divide __truediv__ __rtruediv__ __itruediv__ __rdiv__ __div__ reciprocal remainder "
    "fmod addcdiv __mod__"
)
_POW = "pow pow_ __pow__ __rpow__ __ipow__ float_power square"
_CLOSED = "acos asin atanh erfinv arccos arcsin arctanh"
_EXP = "exp exp2 expm1 sinh cosh exp_ poisson_nll_loss"
_DIVS = ("div", "reciprocal", "remainder", "fmod", "addcdiv", "true_divide", "floor_divide")
_MEANS = ("mean", "std", "var", "median", "nanmean", "std_mean", "var_mean")
FAMILIES: dict[str, tuple[str, Guarded]] = {
    **dict.fromkeys(("log", "log2", "log10", "special_entr"), ("log log2 log10 log_ entr", _floor())),
    "log1p": ("log1p", _floor(-1 + 1e-6)),
    **dict.fromkeys(("xlogy", "special_xlog1py"), ("xlogy xlog1py kl_div", _floor(at=1))),
    **dict.fromkeys(("sqrt", "rsqrt"), ("sqrt rsqrt sqrt_ rsqrt_", _floor())),
    "pow": (_POW, _floor()),
    "hypot": ("hypot", _floor()),
    "logit": ("logit", _between(0.0, 1.0)),
    **dict.fromkeys(("acos", "asin", "atanh", "erfinv"), (_CLOSED, _between(-1.0, 1.0))),
    "special_ndtri": ("ndtri", _between(0.0, 1.0)),
    "acosh": ("acosh arccosh", _floor(1 + 1e-6)),
    **dict.fromkeys(_DIVS, (_DIV, _divisor)),
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh"), (_EXP, _ceiling)),
    **dict.fromkeys(_MEANS, ("mean std var median nanmean", _not_empty)),
    **dict.fromkeys(("nll_loss_forward", "nll_loss2d_forward"), ("cross_entropy nll_loss", _some_target)),
    "_ctc_loss": ("ctc_loss", _aligned),
}
"""Op or derivative -> (names in the Python interface, guard)."""
ANY: frozenset[str] = frozenset()  # every function that the line calls
_LINALG = (
    "inv inverse svd eigh eig cholesky cholesky_ex inv_ex solve solve_ex slogdet logdet det qr pinv lstsq "
    "linalg_svd linalg_eigh linalg_inv linalg_solve linalg_cholesky linalg_slogdet linalg_qr"
)
_SOFTMAX = ("_softmax", "_log_softmax")


def family(inquest: Inquest) -> tuple[frozenset[str], Guarded] | None:
    """(API names, guard) for the op of the birth; for a birth in backward, of the forward op."""
    e = event(inquest)
    if e is None or e.phase not in ("forward", "backward") or inquest.birth is None or inquest.birth.line is None:
        return None
    if mechanism(inquest) == "infinities" and leftover(inquest) is not None:
        return ANY, _filled
    for name in (e.node, e.base) if e.node else (e.base,):
        if name in FAMILIES:
            names, guard = FAMILIES[name]
            return frozenset(names.split()), guard
        if is_linalg(name):
            return frozenset(_LINALG.split()), _jitter
    return None


class FunctionGuard(TorchFunctionMode):
    """Guards calls of certain functions from certain lines of one file."""

    def __init__(self, names: frozenset[str], guard: Guarded, places: frozenset[tuple[str, int]]) -> None:
        super().__init__()
        self.names, self.guard, self.places = names, guard, places
        self.files = {file for file, _ in places}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = (
            getattr(func, "__name__", "").removeprefix("linalg_")
            if "linalg" in str(func)
            else getattr(func, "__name__", "")
        )
        chosen = not self.names or name in self.names or getattr(func, "__name__", "") in self.names
        if chosen and self._here():
            if func.__name__.endswith("_") and not func.__name__.endswith("__"):
                return func(*args, **kwargs)  # in place: a guarded copy would not be the user's tensor
            return self.guard(func, list(args), dict(kwargs))
        return func(*args, **kwargs)

    def _here(self) -> bool:
        frame: Any = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename not in self.files:
            frame = frame.f_back
        return frame is not None and (frame.f_code.co_filename, frame.f_lineno) in self.places


class SoftmaxGuard(TorchDispatchMode):
    """A row of nothing but -inf becomes a row of zeros: uniform weights instead of NaN."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name.rpartition("::")[2] in _SOFTMAX:
            x, dim = args[0], args[1]
            if x.numel():
                masked = (x == float("-inf")).all(dim, keepdim=True)
                args = (torch.where(masked, torch.zeros((), dtype=x.dtype, device=x.device), x), *args[1:])
        return func(*args, **(kwargs or {}))


def places_of(inquest: Inquest) -> frozenset[tuple[str, int]]:
    """(file, line) of the birth, and of the births of the same op that reach the symptom on other ways."""
    birth, record, finding = inquest.birth, inquest.record, inquest.finding
    assert birth is not None and birth.file is not None and birth.line is not None
    found = {(birth.file, n) for n in range(birth.line, (birth.end_line or birth.line) + 1)}
    for other in finding.others if finding is not None else ():
        if (
            record is not None
            and (other.plan.base, other.node) == (record.plan.base, record.node)
            and other.site is not None
        ):
            found |= {
                (other.site.file, n) for n in range(other.site.line, (other.site.end_line or other.site.line) + 1)
            }
    return frozenset(found)


def _can_guard(inquest: Inquest) -> bool:
    e = event(inquest)
    return family(inquest) is not None or (e is not None and e.base in _SOFTMAX)


@experiment("op-guard", "with the argument of that op kept inside its domain, at that line only", applies=_can_guard)
def guarded_op(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    found, birth = family(inquest), inquest.birth
    assert birth is not None

    @contextlib.contextmanager
    def around(index: int) -> Any:
        mode: Any = SoftmaxGuard()
        if found is not None:
            mode = FunctionGuard(*found, places_of(inquest))
        with eager(), mode:
            yield

    return Attempt(snapshot=snapshot, until=until, around=around)
