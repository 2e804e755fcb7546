"""From a symptom back to its birth, element by element.

The records are visited once each, latest first. Every visit asks which elements of the op's inputs could reach the
elements in question, and keeps those that are nan or infinite; they are handed to whoever wrote them, at the very
addresses. When none is left the op is a leaf: the bad value begins there. Then the leaves are judged in order of time,
because whether NaN was born in a softmax or merely passed through depends on whether its infinities were meant.
"""

from __future__ import annotations

import heapq
import math
import time
from dataclasses import dataclass, field

import torch

from whynan.replay.births import Finding, bad_scalars, deliberate, places
from whynan.replay.influence import Masks, everything, influence, sanitized, whole
from whynan.replay.memory import Area, collect, length_of, spread, unit, writers
from whynan.replay.reevaluate import reevaluate, repeatable
from whynan.replay.trace import OpRecord, TensorRef, Trace
from whynan.tensors.look import FLOAT8, nonfinite, where

DEADLINE = 20.0  # seconds of following single elements; whole tensors after that


@dataclass
class Visit:
    """One op on the way, and what was asked of it."""

    record: OpRecord
    wanted: Masks = field(default_factory=dict)  # output -> bad elements that reach the symptom
    parents: set[int] = field(default_factory=set)  # records whose bad outputs this op read
    entries: list[TensorRef] = field(default_factory=list)  # bad on entry: nobody in the trace wrote them
    given_nan: bool = False  # some of the bad input elements are nan
    gave_nan: bool = False
    scalars: list[tuple[str, float]] = field(default_factory=list)
    real: bool = False  # not only deliberate infinities
    leaf: str | None = None  # "born", "placed", "uninitialised", "source"


class Backtrack:
    def __init__(self, trace: Trace, symptoms: list[TensorRef]) -> None:
        self.trace = trace
        self.symptoms = symptoms
        self.visits: dict[int, Visit] = {}
        self.queue: list[int] = []
        self.entries: list[TensorRef] = []
        self.exact = True
        self.stop = time.monotonic() + DEADLINE

    # -- backwards: which elements, which op

    def run(self) -> Finding:
        first = Visit(OpRecord(len(self.trace.records), None, None))  # type: ignore[arg-type]
        for symptom in self.symptoms:
            mask = symptom.area.mask()
            if mask is None:  # its values were not kept, but they may be known to be finite
                mask, self.exact = whole(symptom) & symptom.bad, False
            if bool(mask.any()):
                self._follow(first, symptom, mask)
        while self.queue:
            self._visit(self.visits[-heapq.heappop(self.queue)])
        return self._judge(first)

    def _follow(self, visit: Visit, ref: TensorRef, mask: torch.Tensor) -> None:
        """Hand the elements `mask` of `ref` to the ops that wrote them."""
        rest: torch.Tensor | None = None
        for record, area in writers(ref.area, ref.index):
            if rest is None and _same(area, ref.area):
                self._ask(visit, record, area, mask)
                return
            if rest is None:
                grain = unit(ref.area, *(a for _, a in ref.area.memory.writes))
                length = length_of(grain, ref.area, *(a for _, a in ref.area.memory.writes))
                rest = spread(mask, ref.area, grain, length)
            part = collect(rest, area, grain)
            if bool(part.any()):
                self._ask(visit, record, area, part)
                rest &= ~spread(part, area, grain, length)
                if not bool(rest.any()):
                    return
        visit.entries.append(ref)

    def _ask(self, visit: Visit, record: OpRecord, area: Area, mask: torch.Tensor) -> None:
        visit.parents.add(record.index)
        asked = self.visits.get(record.index)
        if asked is None:
            asked = self.visits[record.index] = Visit(record)
            heapq.heappush(self.queue, -record.index)
        for i, ref in enumerate(record.outputs):
            if ref.area is area:
                asked.wanted[i] = asked.wanted[i] | mask if i in asked.wanted else mask
                return

    def _visit(self, visit: Visit) -> None:
        record = visit.record
        visit.gave_nan = _any_nan(record.outputs, visit.wanted)
        visit.scalars = list(bad_scalars(record))
        if record.plan.allocates:
            visit.leaf = "uninitialised"
            return
        for i, mask in self._bad_inputs(visit).items():
            ref = record.inputs[i]
            visit.given_nan = visit.given_nan or _any_nan(record.inputs, {i: mask})
            self._follow(visit, ref, mask)
        if not visit.parents and not visit.entries and any(math.isnan(value) for _, value in visit.scalars):
            self._number(visit)

    def _number(self, visit: Visit) -> None:
        """A nan that left the tensors through `.item()` earlier and came back as a Python number."""
        for record in reversed(self.trace.records[: visit.record.index]):
            if record.scalar is not None and record.scalar != record.scalar and record.inputs:
                ref = record.inputs[0]
                self._follow(visit, ref, whole(ref))
                visit.given_nan = True
                return

    def _bad_inputs(self, visit: Visit) -> Masks:
        """Bad elements of the inputs that the wanted elements come from."""
        record = visit.record
        if not any(record.outputs[i].area.floating for i in visit.wanted):
            return _moved_bytes(visit)
        bad = {i: ref.area.mask() for i, ref in enumerate(record.inputs) if ref.area.floating and ref.bad}
        if not bad:
            return {}
        if time.monotonic() > self.stop:
            self.exact = False
            reach = everything(record)
        else:
            reach = influence(record, visit.wanted)
        found: Masks = {}
        for i, mask in bad.items():
            if i in reach:
                both = reach[i] if mask is None else reach[i] & mask
                if bool(both.any()):
                    found[i] = both
        if not found and reach and not self._born_without(visit, list(bad)):
            self.exact = False
            found = {i: m if m is not None else whole(record.inputs[i]) for i, m in bad.items() if i in reach}
        return self._sufficient(visit, found) if len(found) > 1 else found

    def _again(self, visit: Visit, clean: Masks) -> bool | None:
        """Are the wanted elements still bad when the `clean` elements are ordinary numbers? None: cannot tell."""
        record = visit.record
        if not repeatable(record):
            return None
        try:
            values = {record.inputs[i]: sanitized(record.inputs[i], m) for i, m in clean.items()}
            outputs = reevaluate(record, None, values)
            return any(bool((nonfinite(outputs[i]) & m).any()) for i, m in visit.wanted.items())
        except Exception:
            return None

    def _born_without(self, visit: Visit, bad: list[int]) -> bool:
        """No influence was found. Believe it, unless the output is cured by curing the inputs."""
        record = visit.record
        if record.plan.pointwise:
            return True
        clean = {i: m for i in bad if (m := record.inputs[i].area.mask()) is not None}
        return self._again(visit, clean) is not False

    def _sufficient(self, visit: Visit, found: Masks) -> Masks:
        """Of several bad inputs keep those that spoil the output by themselves, if any does."""
        alone = {}
        for i in found:
            others = {j: m for j, m in found.items() if j != i}
            if self._again(visit, others):
                alone[i] = found[i]
        return alone or found

    # -- forwards: what is meant, what is not, which came first

    def _judge(self, first: Visit) -> Finding:
        order = sorted(self.visits)
        for index in order:
            self._settle(self.visits[index])
        self._settle_entries(first)
        finding = Finding(next((ref for ref in self.symptoms if ref.bad), self.symptoms[0]), exact=self.exact)
        visits = [self.visits[i] for i in order] + [first]
        sources = [v for v in visits if any(not _meant(v, e) for e in v.entries)]
        births = [v for v in visits if v.leaf in ("born", "uninitialised")]
        placed = [v for v in visits if v.leaf == "placed"]
        meant = [v for v in visits if v.entries]
        if sources:
            self._answer_source(finding, sources[0], first)
            if births and births[0].record.index < sources[0].record.index:
                finding.instead = Finding(finding.symptom, exact=self.exact)
                self._answer(finding.instead, births[0], "born", first)
        elif births:
            self._answer(finding, births[0], "born", first)
            finding.others = [v.record for v in births[1:]]
        elif placed:
            real = [v for v in placed if v.real]
            self._answer(finding, (real or placed)[0], "placed", first)
        elif meant:
            self._answer_source(finding, meant[0], first)
        return finding

    def _settle(self, visit: Visit) -> None:
        record = visit.record
        if visit.leaf == "uninitialised":
            visit.real = True
            return
        self._settle_entries(visit)
        visit.real = visit.real or any(self.visits[p].real for p in visit.parents)
        if visit.real:
            return
        if not visit.parents and not visit.entries:
            visit.leaf = "placed" if places(record) else "born"
            visit.real = visit.leaf == "born" or visit.gave_nan or not self._intended(visit)
        elif visit.gave_nan and not visit.given_nan:
            visit.leaf, visit.real = "born", True

    def _settle_entries(self, visit: Visit) -> None:
        if any(not _meant(visit, e) for e in visit.entries):
            visit.real = True

    def _intended(self, visit: Visit) -> bool:
        """An infinity that a program writes by name is meant; one in numbers it brought along is data."""
        if visit.record.plan.base in ("lift_fresh", "lift_fresh_copy"):
            return all(deliberate(visit.record.outputs[i].value) for i in visit.wanted)
        return True

    def _answer(self, finding: Finding, visit: Visit, state: str, first: Visit) -> None:
        finding.birth = visit.record
        finding.state = "placed" if state == "placed" else "born"
        finding.uninitialised = visit.leaf == "uninitialised"
        finding.scalar = visit.scalars[0] if visit.scalars else None
        finding.outputs = visit.wanted
        finding.kind = "nan" if visit.gave_nan else "inf"
        if visit.wanted:
            finding.elements = where(next(iter(visit.wanted.values())))
        self._path(finding, visit, first)

    def _answer_source(self, finding: Finding, visit: Visit, first: Visit) -> None:
        bad = [e for e in visit.entries if not _meant(visit, e)] or visit.entries
        finding.source, finding.state = bad[0], "carried"
        finding.kind = "nan" if bad[0].has_nan else "inf"
        mask = bad[0].area.mask()
        finding.elements = where(mask) if mask is not None else None
        if visit is not first:
            self._path(finding, visit, first)
        finding.states = {r.index: "carried" for r in finding.path}

    def _path(self, finding: Finding, visit: Visit, first: Visit) -> None:
        """The shortest way from the op to the symptom."""
        children: dict[int, list[int]] = {}
        for index, other in self.visits.items():
            for parent in other.parents:
                children.setdefault(parent, []).append(index)
        start, came = visit.record.index, {visit.record.index: -1}
        ring, goal = [start], None
        while ring and goal is None:
            goal = next((i for i in ring if i in first.parents), None)
            following: list[int] = []
            for i in ring:
                for child in sorted(children.get(i, ())):
                    if child not in came:
                        came[child] = i
                        following.append(child)
            ring = following
        way: list[int] = []
        while goal is not None and goal >= 0:
            way.append(goal)
            goal = came[goal]
        finding.path = [self.visits[i].record for i in reversed(way)] or [visit.record]
        leaf = finding.state
        finding.states = {r.index: leaf if r is visit.record else "carried" for r in finding.path}


def _same(a: Area, b: Area) -> bool:
    return a is b or (a.offset, a.shape, a.stride, a.dtype) == (b.offset, b.shape, b.stride, b.dtype)


def _meant(reader: Visit, ref: TensorRef) -> bool:
    """Bad on entry, but by the look of it a mask that the program keeps; parameters and gradients are never that."""
    if reader.record.phase == "optimizer":
        return False
    tensor = ref.tensor
    if ref.area.memory.parameter or (tensor is not None and tensor.requires_grad):
        return False
    return deliberate(ref.value)


def _moved_bytes(visit: Visit) -> Masks:
    """Numbers were moved as bytes, which have no nan to look for: the elements asked for, where the op is a copy."""
    record = visit.record
    if record.plan.base not in ("copy_", "clone"):
        return {}
    mask = next(iter(visit.wanted.values()))
    sources = [i for i, ref in enumerate(record.inputs) if ref.shape == mask.shape]
    return {sources[-1]: mask} if sources else {}


def _any_nan(refs: list[TensorRef], masks: Masks) -> bool:
    return any(refs[i].has_nan and _nan_at(refs[i].value, mask) for i, mask in masks.items())


def _nan_at(value: torch.Tensor | None, mask: torch.Tensor) -> bool:
    if value is None:
        return True  # there is one, and it can no longer be seen where
    return bool((torch.isnan(value.float() if value.dtype in FLOAT8 else value) & mask).any())


def trace_back(trace: Trace, symptoms: list[TensorRef]) -> Finding:
    """The `Finding` for the symptoms together: the earliest birth that reaches one of them.

    May be called while a scope is open, which does not observe this.
    """
    with torch.no_grad(), torch._C._DisableTorchDispatch(), torch._C.DisableTorchFunction():
        return Backtrack(trace, symptoms).run()
