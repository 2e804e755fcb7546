"""Call the function once, forward and backward, and say what came out."""

from __future__ import annotations

import contextlib
import io
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.target import Target

Values = tuple[Any, ...]  # one tensor (or constant) for every slot of a plan


@dataclass
class Outcome:
    """`what` is None when all is finite, else "value" or "gradient"; `error` when the function refused the input."""

    error: Exception | None = None
    what: str | None = None
    kind: str | None = None
    outputs: list[Tensor] = field(default_factory=list)
    gradients: dict[str, Tensor] = field(default_factory=dict)  # by argument or parameter

    @property
    def bad(self) -> bool:
        return self.what is not None

    @property
    def fine(self) -> bool:
        return self.error is None and self.what is None

    def symptoms(self) -> list[Tensor]:
        pool = self.outputs if self.what == "value" else list(self.gradients.values())
        return [t for t in pool if kind_of(t) is not None]


class Prober:
    """The function in one dtype, ready to be called many times. Every call starts from the same random state."""

    def __init__(self, target: Target, dtype: torch.dtype, *, gradient: bool = True, call: Any = None) -> None:
        self.target, self.dtype, self.gradient = target, dtype, gradient
        made: tuple[Callable[..., Any], torch.nn.Module | None] = target.make(dtype) if call is None else call
        self.function, self.module = made
        named = dict(self.module.named_parameters()) if self.module is not None else {}
        self.parameters: dict[str, Tensor] = {n: p for n, p in named.items() if p.is_floating_point()}
        buffers = self.module.buffers() if self.module is not None else ()
        self.buffers = [(b, b.clone()) for b in buffers]
        self.calls = 0

    def in_dtype(self, dtype: torch.dtype) -> Prober:
        return Prober(self.target, dtype, gradient=self.gradient)

    def __call__(self, plan: Plan, values: Values, *, gradient: bool | None = None) -> Outcome:
        """Call and look. Exceptions of the function are an answer (`error`), not an error."""
        self.calls += 1
        try:
            arguments, leaves = self.leaves(plan, values)
            outputs = self.forward(plan, arguments)
        except Exception as error:
            return Outcome(error=error)
        outcome = Outcome(outputs=[t.detach() for t in outputs])
        outcome.kind = next((k for t in outputs if (k := kind_of(t))), None)
        if outcome.kind is not None:
            outcome.what = "value"
        elif self.gradient if gradient is None else gradient:
            self.backward(outcome, outputs, leaves)
        return outcome

    def leaves(self, plan: Plan, values: Values) -> tuple[list[Any], dict[str, Tensor]]:
        """Arguments for one call, and those that want a gradient, by name."""
        arguments: list[Any] = []
        leaves: dict[str, Tensor] = {}
        for slot, value in zip(plan.slots, values):
            if isinstance(value, Tensor):
                if slot.floating and slot.dtype is None and value.dtype != self.dtype:
                    value = value.to(self.dtype)
                value = value.detach().clone()
                if slot.floating and slot.grad:
                    leaves[slot.name] = value.requires_grad_()
            arguments.append(value)
        return arguments, {**leaves, **self.parameters}

    def forward(self, plan: Plan, arguments: Sequence[Any]) -> list[Tensor]:
        """The floating tensors that the function gives; TypeError when there are none."""
        positional = [a for s, a in zip(plan.slots, arguments) if not s.keyword]
        named = {s.name: a for s, a in zip(plan.slots, arguments) if s.keyword}
        reseed()
        with torch.enable_grad():
            result = self.function(*positional, **named)
        for buffer, before in self.buffers:
            with torch.no_grad():
                buffer.copy_(before)
        found = [t for t in tensors_in(result) if t.is_floating_point() or t.is_complex()]
        if not found:
            raise TypeError(f"it returned {type(result).__name__}, which holds no floating tensor")
        return found

    def backward(self, outcome: Outcome, outputs: list[Tensor], leaves: dict[str, Tensor]) -> None:
        roots = [t for t in outputs if t.requires_grad]
        if not roots or not leaves:
            return
        try:
            given = torch.autograd.grad(roots, list(leaves.values()), [torch.ones_like(t) for t in roots],
                                        allow_unused=True)  # fmt: skip
        except Exception as error:
            outcome.error = error
            return
        outcome.gradients = {n: g for n, g in zip(leaves, given) if g is not None}
        outcome.kind = next((k for g in outcome.gradients.values() if (k := kind_of(g))), None)
        if outcome.kind is not None:
            outcome.what = "gradient"


def kind_of(tensor: Tensor) -> str | None:
    """ "nan", "inf" or None. One reduction where all is finite."""
    if bool(torch.isfinite(tensor).all()):
        return None
    return "nan" if bool(torch.isnan(tensor).any()) else "inf"


def tensors_in(result: Any, depth: int = 4) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif depth and isinstance(result, (list, tuple)):
        for item in result:
            yield from tensors_in(item, depth - 1)
    elif depth and isinstance(result, dict):
        for item in result.values():
            yield from tensors_in(item, depth - 1)
    elif depth and hasattr(result, "__dict__") and not isinstance(result, (type, torch.nn.Module)):
        for item in vars(result).values():
            yield from tensors_in(item, depth - 1)


def reseed(seed: int = 0) -> None:
    """The same random numbers for every call. (torch.manual_seed visits all devices, and takes longer than a call.)"""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The function may print and warn thousands of times: not here. Random states are put back at the end."""
    state = random.getstate()
    numpy = sys.modules.get("numpy")
    drawn = numpy.random.get_state() if numpy is not None else None
    try:
        with (
            torch.random.fork_rng(devices=[]),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(state)
        if numpy is not None:
            numpy.random.set_state(drawn)


Call = Callable[[Plan, Values], Outcome]
