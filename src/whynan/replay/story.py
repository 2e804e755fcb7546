"""The story of the bad value as a graph of ops: what grew before the birth, the birth, what carried it to the symptom.

Three kinds of ops are in it. Upstream of the birth: the chain through its largest operand, from where that began to
grow, and the last ops that made its other operands; for a birth in backward also the forward op whose derivative it
is. Downstream: the way to the symptom. Beside the way: the first ops that were given a bad value of it and gave finite
ones (absorbed). Views do not appear: they move no number. Every step says which of the others it read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from whynan.case.facts import PathStep, State
from whynan.replay.births import Finding, concerned, state_on
from whynan.replay.figures import figure
from whynan.replay.memory import writers
from whynan.replay.trace import OpRecord, TensorRef, Trace
from whynan.tensors.look import CHUNK, nonfinite, real, unobserved

MOST = 60  # steps
DEEP = 200  # ops that are looked at upstream for the beginning of the growth
BEFORE = 20  # ops shown upstream of the birth
LEADING = 12  # of them the last ones
OPERAND = 4  # ops shown that made each other operand of the birth
OPERANDS = 6  # of them followed
ABSORBED = 4
QUIET = 2.0  # growth begins where the size was last within this factor of its smallest
CALM = 6  # ops shown where nothing grew
PATIENCE = 0.15  # seconds of counting; later steps say their extremes only
SEARCHED = 20_000  # records looked at for absorption


def path_from(finding: Finding, trace: Trace) -> tuple[PathStep, ...]:
    """The path of the report, in order of time. The birth is the last of its steps that is born or placed."""
    return figure(finding.notes, "path", lambda: story(finding, trace), ())


def joined(first: tuple[PathStep, ...], second: tuple[PathStep, ...]) -> tuple[PathStep, ...]:
    """Two paths as one: what has no predecessor in the second goes on from the end of the first."""
    if not first:
        return second
    size = len(first)
    tail = (replace(s, inputs=tuple(i + size for i in s.inputs) or (size - 1,)) for s in second)
    return (*first, *tail)


def story(finding: Finding, trace: Trace, most: int = MOST) -> tuple[PathStep, ...]:
    """`path_from` without a guard, of at most `most` steps."""
    way = finding.path or ([finding.birth] if finding.birth is not None else [])
    before = _upstream(finding)
    beside = _absorbing(way, trace)
    members = {r.index: r for r in (*before, *way, *beside)}
    parents = _parents(members, way, finding)
    kept = _thinned(members, before, way, beside, most)
    position = {index: i for i, index in enumerate(kept)}
    states = {r.index: state_on(finding, r) for r in way} | {r.index: "absorbed" for r in beside}
    measure = _Measure()
    return tuple(
        measure.step(members[i], states.get(i) or members[i].state, _nearest(i, parents, position)) for i in kept
    )


# upstream of the birth ---------------------------------------------------------------------------------------------


def _upstream(finding: Finding) -> list[OpRecord]:
    birth = finding.birth
    if birth is None:
        return []
    found = {r.index: r for r in _from_first_growth(_chain(birth, concerned(finding, birth), DEEP))}
    origin = birth.origin
    if origin is not birth:
        forward = [*_from_first_growth(_chain(origin, _floats(origin), DEEP)), origin]
        found |= {r.index: r for r in forward}
    for ref in (*concerned(finding, birth), *(_floats(origin) if origin is not birth else ()))[:OPERANDS]:
        maker = _maker(ref)
        if maker is not None and maker.index not in found and not ref.area.memory.parameter:
            found |= {r.index: r for r in (*_chain(maker, _floats(maker), OPERAND - 1), maker)}
    found.pop(birth.index, None)
    return [found[i] for i in sorted(found)]


def _chain(record: OpRecord, operands: list[TensorRef], limit: int) -> list[OpRecord]:
    """The ops before `record`, from one of its `operands` on through the largest input, oldest first.

    An input with infinities (placed ones: upstream of the birth there are no others) counts as the largest.
    """
    chain: list[OpRecord] = []
    following: OpRecord | None = record
    while following is not None and len(chain) < limit:
        refs = operands if following is record else _floats(following)
        sized = sorted(refs, key=lambda ref: (ref.bad, _size(ref)), reverse=True)
        following = next((m for ref in sized if (m := _maker(ref)) is not None), None)
        if following is not None:
            chain.append(following)
    return chain[::-1]


def _from_first_growth(chain: list[OpRecord]) -> list[OpRecord]:
    """From the last op that gave numbers of ordinary size, where they grew after it; else the last few ops."""
    sizes = [max((_size(ref) for ref in r.outputs), default=0.0) for r in chain]
    known = [s for s in sizes if 0 < s < math.inf]
    if not known or sizes[-1] <= QUIET * min(known):
        return chain[-CALM:]
    start = max(i for i, s in enumerate(sizes) if s <= QUIET * min(known))
    return chain[min(start, max(0, len(chain) - CALM)) :]


def _floats(record: OpRecord) -> list[TensorRef]:
    return [ref for ref in record.inputs if ref.area.floating]


def _size(ref: TensorRef) -> float:
    """absmax, where it is known and finite; -1 puts the others last."""
    size = ref.absmax
    return size if size is not None and math.isfinite(size) else -1.0


def _maker(ref: TensorRef) -> OpRecord | None:
    found = writers(ref.area, ref.index)
    return found[0][0] if found and (ref.bad or not found[0][0].plan.constant) else None


# beside the way ----------------------------------------------------------------------------------------------------


def _absorbing(way: list[OpRecord], trace: Trace) -> list[OpRecord]:
    """The first ops that read a bad tensor of the way and gave finite numbers."""
    on_way = {r.index for r in way}
    bad = {id(ref.area) for r in way for ref in r.outputs if ref.bad}
    found: list[OpRecord] = []
    if not bad:
        return found
    for record in trace.records[way[0].index + 1 :][:SEARCHED]:
        if record.index in on_way or record.bad or not _computes(record):
            continue
        if any(id(ref.area) in bad for ref in record.inputs):
            found.append(record)
            if len(found) == ABSORBED:
                break
    return found


def _computes(record: OpRecord) -> bool:
    """It makes floating numbers of those it reads (`zeros_like` reads a shape only, `zero_` nothing, a view picks)."""
    plan = record.plan
    shape_only = plan.base.endswith("_like") or plan.base.startswith("new_")
    other = plan.allocates or plan.constant or plan.overwrites or plan.view
    return not shape_only and not other and any(ref.area.floating for ref in record.outputs)


# the graph ---------------------------------------------------------------------------------------------------------


def _parents(members: dict[int, OpRecord], way: list[OpRecord], finding: Finding) -> dict[int, list[int]]:
    """Index of a record -> those of the members that it read."""
    parents = {i: _read(record, members) for i, record in members.items()}
    for previous, record in zip(way, way[1:], strict=False):  # known from the search, whatever the memory says
        if previous.index < record.index and previous.index not in parents[record.index]:
            parents[record.index].append(previous.index)
    birth = finding.birth
    origin = birth.origin if birth is not None else None
    if birth is not None and origin is not None and origin.index in members and origin.index < birth.index:
        parents[birth.index].append(origin.index)  # a derivative reads its forward op
    return {i: sorted(set(found)) for i, found in parents.items()}


def _read(record: OpRecord, members: dict[int, OpRecord]) -> list[int]:
    found: list[int] = []
    for ref in record.inputs:
        if not ref.area.floating and not ref.area.memory.writes:
            continue
        for maker, area in writers(ref.area, ref.index)[:8]:
            if maker.index in members and maker.index not in found and maker.index < record.index:
                found.append(maker.index)
            if area.shape == ref.area.shape:  # it wrote all of it: what came before is gone
                break
    return found


def _nearest(index: int, parents: dict[int, list[int]], position: dict[int, int]) -> tuple[int, ...]:
    """Positions of the nearest shown ancestors."""
    found, seen, stack = set(), set(), list(parents[index])
    while stack:
        parent = stack.pop()
        if parent in position:
            found.add(position[parent])
        elif parent not in seen:
            seen.add(parent)
            stack += parents.get(parent, [])
    return tuple(sorted(found))


def _thinned(
    members: dict[int, OpRecord], before: list[OpRecord], way: list[OpRecord], beside: list[OpRecord], most: int
) -> list[int]:
    """At most `most` indices: where the growth began, what leads to the birth, the first and last of the way, and
    where the module changes."""
    origin = [r.origin for r in way[:1] if r.origin.index in members]
    kept = {r.index for r in (*before[:1], *before[-LEADING:], *beside, *origin)}
    kept |= {r.index for r in _spaced(before[1:-LEADING], BEFORE - 1 - LEADING)}
    if len(kept) + len(way) <= most:
        return sorted(kept | {r.index for r in way})
    kept |= {r.index for r in (*way[:8], *way[-8:])}
    middle = way[8:-8]
    borders = [r for a, r in zip(way[7:], middle, strict=False) if a.module != r.module]
    for group in (borders, middle):
        room = most - len(kept)
        kept |= {r.index for r in _spaced([r for r in group if r.index not in kept], room)}
    return sorted(kept)


def _spaced(records: Sequence[OpRecord], room: int) -> Iterable[OpRecord]:
    """At most `room` of them, evenly spaced."""
    if len(records) <= room:
        return records
    return (records[i * len(records) // room] for i in range(max(room, 0)))


# one step ----------------------------------------------------------------------------------------------------------


class _Measure:
    """Statistics of the steps, within `PATIENCE`."""

    def __init__(self) -> None:
        self.stop = time.monotonic() + PATIENCE

    def step(self, record: OpRecord, state: State, inputs: tuple[int, ...]) -> PathStep:
        ref, site = _followed(record), record.site
        low, high, bad = self._numbers(ref) if ref is not None else (None, None, 0)
        return PathStep(
            op=record.op,
            state=state,
            file=site.file if site else None,
            line=site.line if site else None,
            module=record.module,
            absmax=ref.absmax if ref is not None else None,
            phase=record.phase,
            source=site.source if site else None,
            expression=site.expression if site else None,
            shape=tuple(ref.shape) if ref is not None else None,
            dtype=str(ref.dtype).removeprefix("torch.") if ref is not None else None,
            min=low,
            max=high,
            nonfinite=bad,
            total=ref.shape.numel() if ref is not None else 0,
            inputs=inputs,
        )

    def _numbers(self, ref: TensorRef) -> tuple[float | None, float | None, int]:
        """Smallest and largest finite element, and how many are not finite."""
        if not ref.bad:
            return ref.min, ref.max, 0
        value = ref.value
        if value is None or time.monotonic() > self.stop:
            return None, None, ref.shape.numel() if ref.shape.numel() == 1 else 0
        with unobserved(), torch.no_grad():
            low, high = math.inf, -math.inf
            for part in _parts(real(value).reshape(-1)):
                finite = part[torch.isfinite(part)]
                if finite.numel():
                    low, high = min(low, finite.min().item()), max(high, finite.max().item())
            bad = int(nonfinite(value).sum())
        return (low, high, bad) if low <= high else (None, None, bad)


def _parts(flat: torch.Tensor) -> Iterator[torch.Tensor]:
    return (flat[i : i + CHUNK] for i in range(0, flat.numel(), CHUNK))


def _followed(record: OpRecord) -> TensorRef | None:
    """The output that the story follows: a bad one, else the largest, else the first."""
    floats = [ref for ref in record.outputs if ref.area.floating]
    bad = next((ref for ref in floats if ref.bad), None)
    return bad or max(floats, key=_size, default=record.outputs[0] if record.outputs else None)
