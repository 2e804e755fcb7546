"""Where ops stop being finite: which argument, and which value of it. The search steers arguments there.

The conditions are those that were verified by execution in the table of op conditions; ops that are safe at their edge
in torch 2.13 (a vector norm at 0, atan2 at the origin, softplus anywhere) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Edge:
    """`at` a value, or towards large (`up`) or very negative (`down`) arguments."""

    way: Literal["at", "up", "down"]
    value: float = 0.0


ZERO, UP, DOWN = Edge("at", 0.0), Edge("up"), Edge("down")
ONE, MINUS = Edge("at", 1.0), Edge("at", -1.0)
FIRST: dict[str, tuple[Edge, ...]] = {
    "log": (ZERO, DOWN), "log2": (ZERO, DOWN), "log10": (ZERO, DOWN), "log1p": (MINUS, DOWN),
    "sqrt": (ZERO, DOWN), "rsqrt": (ZERO, DOWN), "reciprocal": (ZERO,), "digamma": (ZERO,), "lgamma": (ZERO,),
    "acos": (ONE, MINUS, UP), "asin": (ONE, MINUS, UP), "arccos": (ONE, MINUS), "arcsin": (ONE, MINUS),
    "atanh": (ONE, MINUS, UP), "arctanh": (ONE, MINUS), "erfinv": (ONE, MINUS), "acosh": (ONE, DOWN),
    "arccosh": (ONE, DOWN), "logit": (ZERO, ONE), "special_entr": (ZERO,), "special_ndtri": (ZERO, ONE),
    "exp": (UP, DOWN), "exp2": (UP,), "expm1": (UP,), "sinh": (UP, DOWN), "cosh": (UP, DOWN), "square": (UP,),
    "std": (), "prod": (UP,), "i0": (UP,),
}  # fmt: skip
DIVISIONS = ("div", "divide", "true_divide", "__truediv__", "__div__", "fmod", "remainder")
REVERSED = ("__rtruediv__", "__rdiv__")
POWERS = ("pow", "__pow__", "float_power")
SECOND = ("xlogy", "special_xlogy")
PRODUCTS = ("matmul", "mm", "bmm", "mul", "__mul__", "linear", "einsum")


@dataclass(frozen=True)
class Concern:
    """One call's argument that must stay away from an edge."""

    call: int
    name: str
    argument: Tensor
    edge: Edge


class Listener(TorchFunctionMode):
    """Notes the guarded arguments of the calls that the user's code makes, with their graphs."""

    def __init__(self) -> None:
        super().__init__()
        self.concerns: list[Concern] = []
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").removeprefix("_C_")
        found = list(concerning(name.rstrip("_") if not name.startswith("__") else name, args, kwargs))
        result = func(*args, **kwargs)
        if found:
            self.calls += 1
            for argument, edge in found:
                if isinstance(argument, Tensor) and argument.is_floating_point() and argument.requires_grad:
                    self.concerns.append(Concern(self.calls, name, argument, edge))
        return result


def concerning(name: str, args: tuple, kwargs: dict[str, Any]) -> Iterator[tuple[Any, Edge]]:
    """The arguments of one call that have an edge, each with the edge."""
    given = [*args, *(kwargs[k] for k in ("input", "other", "exponent") if k in kwargs)]
    if not given:
        return
    if name in FIRST:
        yield from ((given[0], edge) for edge in FIRST[name])
    elif name in REVERSED:
        yield given[0], ZERO
    elif name in DIVISIONS and len(given) > 1:
        yield given[1], ZERO
    elif name in POWERS and len(given) > 1:
        exponent = given[1]
        whole = isinstance(exponent, int) or (isinstance(exponent, float) and exponent.is_integer() and exponent > 0)
        yield given[0], UP if whole else ZERO
        if isinstance(exponent, Tensor):
            yield exponent, UP
        elif not whole:
            yield given[0], DOWN
    elif name in SECOND and len(given) > 1:
        yield given[1], ZERO
    elif name == "hypot" and len(given) > 1:
        yield given[0], ZERO
        yield given[1], ZERO
    elif name in PRODUCTS:
        yield from ((a, UP) for a in given[:2])


def listen(run: Any) -> list[Concern]:
    """The concerns of `run()`; what it raises is the caller's."""
    with torch.enable_grad(), Listener() as listener:
        run()
    return listener.concerns
