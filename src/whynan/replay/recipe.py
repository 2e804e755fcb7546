"""A reproducer in the making: a few ops as Python text, the tensors they begin with, and the check that it still fails.

What is executed is the text itself, the very lines of the script to be. In the backward form the first tensors ask for
gradients, the last value is summed (or given a gradient) and `.backward()` is called, and it is a gradient that fails.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from whynan.replay.program import Op
from whynan.replay.readable import texts
from whynan.replay.simple import finite_as, kinds

GRADIENT = "grad_y"  # the variable of an explicit gradient of the last value


@dataclass(frozen=True)
class Recipe:
    """Ops in order; `outputs[i]` says which output of op i is used, `choices[i]` which of its texts."""

    ops: tuple[Op, ...]
    names: Mapping[int, str]  # value -> variable
    leaves: Mapping[str, Tensor]
    kind: str  # "nan", "inf", or "any" for the gradient behind a birth that other ops of the same node carry on
    outputs: tuple[int, ...]
    choices: tuple[int, ...]
    backward: bool = False
    original: Mapping[str, Tensor] = field(default_factory=dict)  # the leaves as recorded: finite ones stay finite
    wide: bool | None = None  # whether it also fails in float64; None: not asked
    scalar: bool = False  # the last value is one number, and needs no sum before `.backward()`

    @property
    def result(self) -> str:
        return self.names[self.ops[-1].outs[self.outputs[-1]].value]

    @property
    def lines(self) -> list[str]:
        """The statements, without those that make the leaves."""
        found = [
            f"{self.names[op.outs[output].value]} = {texts(op, self.names.__getitem__, output)[choice]}"
            for op, output, choice in zip(self.ops, self.outputs, self.choices)
        ]
        if self.backward:
            explicit = GRADIENT in self.leaves
            call = f".backward({GRADIENT})" if explicit else ".backward()" if self.scalar else ".sum().backward()"
            found.append(self.result + call)
        return found

    def trains(self, name: str) -> bool:
        tensor = self.leaves[name]
        return self.backward and name != GRADIENT and (tensor.is_floating_point() or tensor.is_complex())

    def failing(self, leaves: Mapping[str, Tensor] | None = None) -> str | None:
        """The variable (or its gradient) that is bad, as text; None when nothing is, or it could not be run."""
        given = self.leaves if leaves is None else leaves
        space: dict[str, Any] = {"torch": torch}
        for name, tensor in given.items():
            copy = tensor.detach().clone()
            space[name] = copy.requires_grad_() if self.trains(name) else copy
        with _undisturbed(self.backward):
            try:
                exec(_compiled("\n".join(self.lines)), space)  # text of our own making, see `readable`
            except Exception:
                return None
        found = [f"{name}.grad" for name in given if self.trains(name)] if self.backward else [self.result]
        for text in found:
            name, _, grad = text.partition(".")
            value = space[name].grad if grad else space[name]
            if isinstance(value, Tensor) and (seen := kinds(value)) and self.kind in (*seen, "any"):
                return text
        return None

    def holds(self) -> bool:
        """Still the same failure: bad in the same way, from inputs that are finite where they were, and (if asked) bad
        in float64 as before, so that an overflow does not turn into a division by zero."""
        if not all(finite_as(tensor, self.original.get(name)) for name, tensor in self.leaves.items()):
            return False
        return self.failing() is not None and (self.wide is None or self.fails_wide() == self.wide)

    def fails_wide(self) -> bool:
        """Does it fail with every floating tensor in float64?"""
        wide = {n: t.double() if t.is_floating_point() else t for n, t in self.leaves.items()}
        return self.failing(wide) is not None

    def with_leaves(self, changed: Mapping[str, Tensor]) -> Recipe:
        return replace(self, leaves={**self.leaves, **changed})

    def with_sizes(self, old: int, new: int) -> Recipe:
        """The same with `new` for `old` in the lists of numbers among the arguments (sizes of a view, say)."""

        def changed(item: Any) -> Any:
            whole = isinstance(item, list) and all(type(part) is int for part in item)
            return [new if part == old else part for part in item] if whole else item

        ops = tuple(
            replace(op, args=[changed(a) for a in op.args], kwargs={k: changed(a) for k, a in op.kwargs.items()})
            for op in self.ops
        )
        return replace(self, ops=ops)


_cache: dict[str, Any] = {}


def _compiled(text: str) -> Any:
    if text not in _cache:
        if len(_cache) > 500:
            _cache.clear()
        _cache[text] = compile(text, "<reproducer>", "exec")
    return _cache[text]


@contextlib.contextmanager
def _undisturbed(graph: bool) -> Iterator[None]:
    with warnings.catch_warnings(), torch.set_grad_enabled(graph), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
