"""A slice of a step as a program: ATen ops over numbered values, without side effects, and how to execute it.

Every op reads values and makes new ones; what an op wrote in place is a value of its own, so views and memory need no
book-keeping any more. Leaves are values that the slice does not compute. Ops are found by name among PyTorch's own:
a program from a stranger's file can compute, and do nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from whynan.errors import CaseError
from whynan.replay.schema import Plan, plan_of
from whynan.tensors.look import unobserved

FORBIDDEN = ("from_file", "save", "record_stream", "set_", "_print", "_assert", "_test", "_cslt", "_sparse_coo_tensor")
"""Beginnings of names of ATen ops that touch files or the process, or trust their arguments blindly."""
LARGEST = 1 << 34  # bytes that one op of a recorded program may make


@dataclass(frozen=True)
class Ref:
    """A value in the arguments of an op."""

    value: int


@dataclass
class Out:
    """One value that an op makes: a result, or (by the argument's name) what it wrote in place."""

    value: int
    name: str
    seen: dict[str, Any] | None = None  # `prints.print_of` of the value in the recorded run


@dataclass
class Op:
    name: str  # "aten::log"
    overload: str  # "default"
    args: list[Any]
    kwargs: dict[str, Any]
    outs: list[Out]
    phase: str = "forward"
    file: str | None = None
    line: int | None = None
    source: str | None = None
    expression: str | None = None
    node: str | None = None
    forward: int | None = None  # position of the forward op, for an op of the backward pass

    @property
    def base(self) -> str:
        return self.name.partition("::")[2]

    def refs(self) -> Iterator[int]:
        """The values it reads, in order, repeated where it reads them twice."""
        for item in (*self.args, *self.kwargs.values()):
            yield from _refs(item)

    @property
    def place(self) -> str:
        where = f"{self.file}:{self.line}" if self.file else "an unknown line"
        return f"{self.name} ({self.phase}, {where})"


@dataclass
class Leaf:
    name: str
    role: str  # "parameter", "buffer", "gradient", "state", "item", "local", "value"
    tensor: Tensor
    seen: dict[str, Any] | None = None  # `prints.print_of` of the tensor when it was recorded


@dataclass
class Bad:
    """The bad elements of one output of the birth that reach the symptom."""

    output: int
    count: int
    total: int
    first: list[list[int]] = field(default_factory=list)


@dataclass
class Program:
    ops: list[Op]
    leaves: dict[int, Leaf]
    birth: int  # position of the op that made the bad value
    kind: str  # "nan" or "inf"
    bad: list[Bad]
    inputs: dict[int, Tensor] = field(default_factory=dict)  # what the birth read in the recorded run
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def born(self) -> Op:
        return self.ops[self.birth]


class NotThere(Exception):
    """An op cannot be executed here: it does not exist in this version, or refuses its arguments."""


def overload_of(name: str, overload: str) -> Any:
    """The op of PyTorch with that name. CaseError for anything that is not a plain ATen op."""
    namespace, _, base = name.partition("::")
    if namespace != "aten":
        raise CaseError(f"The op {name} belongs to another library; only PyTorch's own (aten) are executed.")
    unsafe = "unsafe" in base and base != "_unsafe_view" and not base.startswith("_unsafe_index")
    if unsafe or not base.isidentifier() or base.startswith(("__", *FORBIDDEN)):
        raise CaseError(f"The op {name} is none that a recorded case may run.")
    packet = getattr(torch.ops.aten, base, None)
    if packet is None or overload not in packet.overloads():
        raise NotThere(f"PyTorch {torch.__version__} has no {name}.{overload}")
    return getattr(packet, overload)


def call(op: Op, values: Mapping[int, Tensor], limit: int | None = None) -> dict[int, Tensor]:
    """Execute one op: number -> tensor for its outputs. Arguments that it writes are copies, nothing else changes.

    `limit` in bytes makes it predict the size of its results first. NotThere where the op cannot run.
    """
    func = overload_of(op.name, op.overload)
    plan = plan_of(func)
    made: dict[str, Tensor] = {}

    def build(value: Any, name: str, written: bool) -> Any:
        if isinstance(value, Ref):
            given = values[value.value]
            made[name] = given.detach().clone() if written else given
            return made[name]
        return [build(v, f"{name}[{i}]", written) for i, v in enumerate(value)] if isinstance(value, list) else value

    def writes(name: str) -> bool:
        return name in plan.written or plan.running and name in ("running_mean", "running_var")

    args = [build(a, n, writes(n)) for a, n in zip(op.args, plan.names)]
    kwargs = {n: build(a, n, writes(n)) for n, a in op.kwargs.items()}
    if limit is not None:
        _check_size(op, func, args, kwargs, limit)
    try:
        found = _named(func(*args, **kwargs), plan)
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
        raise NotThere(f"{op.name} refused: {str(error).strip().splitlines()[0]}") from error
    outputs: dict[int, Tensor] = {}
    for out in op.outs:
        several = found.get(out.name)
        if several:
            outputs[out.value] = several.pop(0)
        elif out.name in made:
            outputs[out.value] = made[out.name]
        else:
            raise NotThere(f"{op.name} gave no {out.name}")
    return outputs


def execute(
    program: Program,
    leaves: Mapping[int, Tensor] | None = None,
    each: Callable[[int, dict[int, Tensor]], None] | None = None,
    limit: int | None = None,
) -> dict[int, Tensor]:
    """Run the program up to its birth; the values that the birth made. `each(position, outputs)` sees every op.

    Values are dropped after their last use. NotThere names the op that could not run.
    """
    values = dict(leaves) if leaves is not None else {k: leaf.tensor for k, leaf in program.leaves.items()}
    last = {value: i for i, op in enumerate(program.ops[: program.birth + 1]) for value in op.refs()}
    with bare():
        for i, op in enumerate(program.ops[: program.birth + 1]):
            outputs = call(op, values, limit)
            if each is not None:
                each(i, outputs)
            values.update(outputs)
            for value in set(op.refs()):
                if last[value] == i:
                    values.pop(value, None)
    return {out.value: outputs[out.value] for out in program.born.outs}


@contextlib.contextmanager
def bare() -> Iterator[None]:
    """No graph, no autocast, no mode of the user's, no randomness consumed."""
    with torch.no_grad(), torch.autocast("cpu", enabled=False), unobserved():
        yield


def kind_at(tensor: Tensor, bad: Bad, kind: str) -> bool:
    """Is `tensor` bad, in the way `kind` says, at one of the recorded elements?"""
    value = tensor.float() if tensor.dtype.itemsize == 1 and tensor.is_floating_point() else tensor
    test = torch.isnan if kind == "nan" else torch.isinf
    for index in bad.first:
        if len(index) == value.dim() and all(i < n for i, n in zip(index, value.shape)):
            here = value[tuple(index)]
            if bool(test(here)) or kind == "inf" and bool(torch.isnan(here)):
                return True
    return False


def _named(result: Any, plan: Plan) -> dict[str, list[Tensor]]:
    """Results by the names that the microscope gives them."""
    found: dict[str, list[Tensor]] = {}
    if isinstance(result, Tensor):
        found[plan.results[0] if plan.results else "result"] = [result]
    elif isinstance(result, (list, tuple)):
        several = len(plan.results) == len(result)
        for i, item in enumerate(result):
            parts = item if isinstance(item, (list, tuple)) else (item,)
            tensors = [part for part in parts if isinstance(part, Tensor)]
            found.setdefault(plan.results[i] if several else f"result[{i}]", []).extend(tensors)
    return found


def _check_size(op: Op, func: Any, args: list[Any], kwargs: dict[str, Any], limit: int) -> None:
    """Run the op on tensors without memory, to see how much it would make. Ops that cannot do so are let through."""

    def meta(value: Any) -> Any:
        if isinstance(value, Tensor):
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
        if isinstance(value, list):
            return [meta(v) for v in value]
        return torch.device("meta") if isinstance(value, torch.device) else value

    inside = {name: meta(value) for name, value in kwargs.items()}
    if any(a.name == "device" for a in func._schema.arguments):
        inside["device"] = torch.device("meta")
    try:
        result = func(*[meta(a) for a in args], **inside)
    except Exception:  # depends on the numbers, or has no such kernel
        return
    for several in _named(result, plan_of(func)).values():
        for tensor in several:
            if tensor.numel() * tensor.element_size() > limit:
                raise CaseError(f"{op.place} would make a tensor of shape {list(tensor.shape)}: too large.")


def _refs(item: Any) -> Iterator[int]:
    if isinstance(item, Ref):
        yield item.value
    elif isinstance(item, list):
        for part in item:
            yield from _refs(part)
