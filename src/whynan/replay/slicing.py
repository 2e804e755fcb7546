"""From a trace to the program that leads to the birth: who made what the op read, back to what the step was given.

Producers are found by memory (`memory.writers`): the latest op that wrote exactly this part, or the view that was
taken of it since. Where only a part was written, where an op cannot be repeated (random numbers, collectives, foreign
libraries), or where there are too many ops, the value that was recorded becomes a leaf. For a birth in the backward
pass the forward ops whose derivatives took part belong to the slice as well.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Any

import torch

from whynan.replay.births import Finding
from whynan.replay.environment import environment
from whynan.replay.memory import writers
from whynan.replay.names import Name
from whynan.replay.prints import print_of
from whynan.replay.program import Bad, Leaf, NotThere, Op, Out, Program, Ref, execute, kind_at, overload_of
from whynan.replay.reevaluate import repeatable
from whynan.replay.trace import OpRecord, TensorRef, Trace
from whynan.tensors.look import unobserved

MOST_OPS = 2000
FIRST = 64  # bad elements that are named
_SECONDS = 3.0  # for the digests of all values together

NameOf = Callable[[torch.Tensor], "Name | None"]


class Slicer:
    """Builds one program; `most` bounds how many ops it may have."""

    def __init__(self, trace: Trace, finding: Finding, names: NameOf | None, most: int = MOST_OPS) -> None:
        assert finding.birth is not None
        self.trace, self.finding, self.birth = trace, finding, finding.birth
        self.names = names
        self.most = most
        self.outputs: dict[int, list[tuple[OpRecord, int]]] = {}  # memory -> who gave parts of it, in order
        for record in trace.records[: self.birth.index + 1]:
            for i, ref in enumerate(record.outputs):
                self.outputs.setdefault(id(ref.area.memory), []).append((record, i))
        self.made: dict[tuple[int, int], int] = {}  # (record, output) -> value
        self.leaf_of: dict[int, int] = {}  # id of an area -> value
        self.program = Program([], {}, 0, finding.kind, [], settings=environment())
        self._given: list[tuple[Out, TensorRef]] = []
        self._next = 0

    def build(self) -> Program | None:
        """The program; None when not even the birth alone can be repeated."""
        positions: dict[int, int] = {}
        for record in self._chosen():
            op = self._op(record, positions)
            if op is not None:
                positions[record.index] = len(self.program.ops)
                self.program.ops.append(op)
        if self.birth.index not in positions:
            return None
        self.program.birth = positions[self.birth.index]
        for value, ref in zip(self.program.born.refs(), self._tensors(self.birth)):
            if value not in self.program.leaves and ref.value is not None:
                self.program.inputs[value] = ref.value
        for i, mask in self.finding.outputs.items():
            indices = mask.nonzero()[:FIRST].tolist()
            total = mask.numel()
            self.program.bad.append(Bad(i, int(mask.sum()), total, indices))
        prune(self.program)
        return self.program

    def describe(self) -> None:
        """Note what every value was, for a replay to compare with; the latest first, as long as the time lasts."""
        stop = time.monotonic() + _SECONDS
        for out, ref in reversed(self._given):
            if ref.value is not None and time.monotonic() < stop:
                out.seen = print_of(ref.value)

    # which ops ---------------------------------------------------------------------------------------------------

    def _chosen(self) -> list[OpRecord]:
        """The birth, whoever made what it read, and so on; the latest ones first, up to `most`. In order of time."""
        chosen: dict[int, OpRecord] = {self.birth.index: self.birth}
        queue = [-self.birth.index]
        while queue and len(chosen) < self.most:
            record = self.trace.records[-heapq.heappop(queue)]
            before = [found[0] for ref in self._tensors(record) if (found := self._producer(ref)) is not None]
            if record.node is not None and record.forward is not None:
                before.append(record.forward)
            for other in before:
                if other.index not in chosen and (other is self.birth or _can_repeat(other)):
                    chosen[other.index] = other
                    heapq.heappush(queue, -other.index)
        return [chosen[i] for i in sorted(chosen)]

    def _tensors(self, record: OpRecord) -> list[TensorRef]:
        found: list[TensorRef] = []

        def walk(item: Any) -> None:
            if isinstance(item, TensorRef):
                found.append(item)
            elif isinstance(item, (list, tuple)):
                for part in item:
                    walk(part)

        for item in (*record.args, *record.kwargs.values()):
            walk(item)
        return found

    def _producer(self, ref: TensorRef) -> tuple[OpRecord, int] | None:
        """The op (and which output of it) that gave exactly this part of memory, if nobody wrote to it since."""
        area = ref.area
        written = writers(area, ref.index)
        oldest = written[0][0].index if written else area.memory.unseen
        for record, i in reversed(self.outputs.get(id(area.memory), ())):
            if record.index < oldest:
                return None
            if record.index < ref.index:
                other = record.outputs[i].area
                if (other.offset, other.shape, other.stride, other.dtype) == (
                    area.offset, area.shape, area.stride, area.dtype,
                ):  # fmt: skip
                    return record, i
        return None

    # one op ------------------------------------------------------------------------------------------------------

    def _op(self, record: OpRecord, positions: dict[int, int]) -> Op | None:
        """The record as an op of the program; None when some value that it read is neither made nor kept."""
        try:
            args = [self._argument(a) for a in record.args]
            kwargs = {name: self._argument(a) for name, a in record.kwargs.items()}
            overload_of(record.op, record.func._overloadname)
        except Exception:  # a value that was not kept, an argument that no file can hold, a foreign op
            return None
        outs = []
        for i, ref in enumerate(record.outputs):
            value = self.made[(record.index, i)] = self._number()
            outs.append(Out(value, ref.name))
            self._given.append((outs[-1], ref))
        site, forward = record.site, record.forward
        return Op(
            record.op, record.func._overloadname, args, kwargs, outs, record.phase,
            site.file if site else None, site.line if site else None, site.source if site else None,
            site.expression if site else None, record.node,
            positions.get(forward.index) if forward is not None and record.node is not None else None,
        )  # fmt: skip

    def _argument(self, item: Any) -> Any:
        if isinstance(item, TensorRef):
            return Ref(self._value(item))
        if isinstance(item, (list, tuple)):
            return [self._argument(part) for part in item]
        if item is None or isinstance(item, (bool, int, float, complex, str)):
            return item
        if isinstance(item, (torch.dtype, torch.device, torch.layout, torch.memory_format)):
            return item
        raise NotThere(f"an argument of type {type(item).__name__}")

    def _value(self, ref: TensorRef) -> int:
        found = self._producer(ref)
        if found is not None and (found[0].index, found[1]) in self.made:
            return self.made[(found[0].index, found[1])]
        known = self.leaf_of.get(id(ref.area))
        if known is not None:
            return known
        if ref.value is None:
            raise NotThere(f"the values of {ref.name} were not kept")
        tensor = ref.tensor
        name = self.names(tensor) if self.names is not None and tensor is not None else None
        number = self.leaf_of[id(ref.area)] = self._number()
        role = name.kind if name is not None and name.kind != "attribute" else "value"
        self.program.leaves[number] = Leaf(name.name if name is not None else ref.name, role, ref.value)
        return number

    def _number(self) -> int:
        self._next += 1
        return self._next - 1


def slice_of(trace: Trace, finding: Finding, names: NameOf | None = None, limit: int = 1 << 62) -> Program | None:
    """The program of a birth whose leaves take at most `limit` bytes: the longest of a few lengths that fits.

    Executed once to see whether the value is born again from the leaves alone; if not (memory that nobody saw written,
    an op that draws random numbers by another name), the birth with what it read directly is the whole program.
    """
    if finding.birth is None:
        return None
    with torch.no_grad(), unobserved():
        for most in (MOST_OPS, MOST_OPS // 4, MOST_OPS // 16, 24, 6, 1):
            slicer = Slicer(trace, finding, names, most)
            program = slicer.build()
            if program is not None and size_of(program) <= limit and reproduces(program):
                slicer.describe()
                return program
    return None


def reproduces(program: Program, values: dict[int, torch.Tensor] | None = None) -> bool:
    """Does the program give its bad values here and now?"""
    try:
        made = execute(program, values)
    except Exception:
        return False
    return is_bad(program, made)


def is_bad(program: Program, made: dict[int, torch.Tensor]) -> bool:
    """Whether what the birth made is bad, at one of the recorded elements and in the recorded way."""
    outs = program.born.outs
    return any(kind_at(made[outs[bad.output].value], bad, program.kind) for bad in program.bad)


def size_of(program: Program) -> int:
    """Bytes of the tensors that a file of this program has to hold, storages counted once."""
    held = [leaf.tensor for leaf in program.leaves.values()] + list(program.inputs.values())
    return sum({t.untyped_storage()._cdata: t.numel() * t.element_size() for t in held}.values())


def prune(program: Program) -> None:
    """Take out what does not lead to the birth: ops (forward ones stay for their backward) and leaves."""
    wanted = set(program.born.refs())
    keep = {program.birth}
    for i in range(program.birth, -1, -1):
        op = program.ops[i]
        if i in keep or wanted & {out.value for out in op.outs}:
            keep.add(i)
            wanted.update(op.refs())
            if op.forward is not None:
                keep.add(op.forward)
    moved = {old: new for new, old in enumerate(sorted(keep))}
    program.ops = [program.ops[i] for i in sorted(keep)]
    for op in program.ops:
        op.forward = moved.get(op.forward) if op.forward is not None else None
    program.birth = moved[program.birth]
    program.leaves = {value: leaf for value, leaf in program.leaves.items() if value in wanted}
    program.inputs = {value: t for value, t in program.inputs.items() if value in program.born.refs()}


def _can_repeat(record: OpRecord) -> bool:
    return repeatable(record) and record.op.startswith("aten::") and not record.plan.op.endswith("::set_")
