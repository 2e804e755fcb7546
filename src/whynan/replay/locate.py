"""From an alarm to the birthplace: re-execute the iteration under the microscope, and go further back if need be.

The answer is looked for in this order: a birth inside the re-executed iteration; a value that came in with the batch;
a tensor that was already non-finite when the iteration began, which sends the search to earlier snapshots, and at last
to a re-run of the program from its start.
"""

from __future__ import annotations

import ast
import contextlib
import linecache
import math
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from whynan.case.facts import Batch, Birth, Elements, PathStep
from whynan.replay.births import Finding, birth_from
from whynan.replay.figures import figure
from whynan.replay.histograms import histograms_of_one
from whynan.replay.names import Name, Names, flatten, root_modules
from whynan.replay.numpywatch import NumpyWatch
from whynan.replay.scope import Scope
from whynan.replay.story import path_from
from whynan.replay.symptom import first_suspect, is_late, narrow, same_symptom
from whynan.replay.trace import Trace
from whynan.tensors.look import look
from whynan.tensors.many import is_finite, local_values
from whynan.watch.attempts import Attempt, Outcome
from whynan.watch.frames import read_locals
from whynan.watch.loops import LoopRun
from whynan.watch.sentinel import Seen
from whynan.watch.snapshot import Snapshot
from whynan.watch.watcher import Watcher

MANY_STEPS = 8  # optimizer steps in one iteration
NARROW = 3  # iterations; when more than these may have gone wrong, a quick re-execution says which
DEEPEST = 8  # symptom tensors that are traced back, at most


@dataclass
class Located:
    """Everything the re-execution found out; `birth` is None where it has to be looked for elsewhere."""

    seen: Seen
    step: int
    iteration: int
    birth: Birth | None = None
    path: tuple[PathStep, ...] = ()
    batch: tuple[Batch, ...] = ()  # where a re-run had to look at it
    finding: Finding | None = None
    trace: Trace | None = None
    names: Names | None = None
    source: Name | None = None  # the tensor that was non-finite before the search could begin
    source_tensor: Tensor | None = None
    snapshot: Snapshot | None = None
    run: LoopRun | None = None
    reproduced: str = "no"
    benign: bool = False
    notes: list[str] = field(default_factory=list)


class Microscope:
    """A scope that is put over several iterations and remembers which records belong to which step and iteration."""

    def __init__(self, watcher: Watcher, roots: Any) -> None:
        self.watcher = watcher
        self.scope = Scope(is_user_file=watcher.is_user_file, roots=lambda: roots, phase=self._phase)
        self.marks: list[tuple[int, int, int]] = []  # (first record, step, iteration)
        self.numpy = NumpyWatch(watcher.is_user_file, lambda: "data")  # of the latest iteration

    def _phase(self) -> str | None:
        return "data" if self.watcher.loops.fetching(sys._getframe(1)) else None

    @contextlib.contextmanager
    def over(self, run: LoopRun, index: int, from_step: int) -> Iterator[None]:
        """Active while iteration `index` executes, as soon as `from_step` optimizer steps are completed."""
        sentinel = self.watcher.sentinel
        with contextlib.ExitStack() as stack:

            def look() -> None:
                if not opened and sentinel.steps >= from_step:
                    opened.append(stack.enter_context(self.scope))
                self.mark(run.first + index)

            opened: list[Scope] = []
            previous, sentinel.on_step = sentinel.on_step, look
            try:
                look()
                stack.enter_context(self.numpy.on())
                yield
            finally:
                sentinel.on_step = previous

    def mark(self, iteration: int) -> None:
        self.marks.append((len(self.scope.trace.records), self.watcher.sentinel.steps, iteration))

    def when(self, record_index: int) -> tuple[int, int]:
        """(step, iteration) of a record."""
        step, iteration = 0, 0
        for first, s, i in self.marks:
            if first <= record_index:
                step, iteration = s, i
        return step, iteration

    def birth(self, finding: Finding, found: Located, batch: int | None) -> Birth | None:
        assert finding.birth is not None
        step, iteration = self.when(finding.birth.index)
        return birth_from(finding, self.scope.trace, step, iteration, lambda t: _name(found, t), batch)


def locate(run: LoopRun, seen: Seen, watcher: Watcher) -> Generator[Attempt, Outcome, Located]:
    """Investigation part one: where. Yields attempts, returns what it found."""
    assert run.record is not None
    record = run.record
    found = Located(seen, seen.step, run.iteration, run=run)
    start = record.update_start(first_suspect(run, seen, watcher))
    snapshot = record.at_or_before(start) or record.earliest(run.index)
    if snapshot is None:
        return found
    found.snapshot = snapshot
    step = seen.step
    if run.index - start > NARROW or (is_late(seen, watcher) and _many_steps(run, start, step)):
        start, step = yield from narrow(run, seen, watcher, snapshot)
    microscope = yield from _look(run, seen, watcher, found, snapshot, start, step)
    if microscope is None:
        return found
    begun = found.iteration - run.first
    if begun < start:  # it began before the microscope was put on
        again = yield from _look(run, found.seen, watcher, found, snapshot, begun, found.seen.step)
        microscope = again or microscope
    tensors = _suspects(found, run)
    _trace_back(found, microscope, tensors, run)
    earlier = _earlier_snapshot(found, run) if found.birth is None else None
    if earlier is not None:
        found.snapshot = earlier
        microscope = yield from _look(run, seen, watcher, found, earlier, earlier.index, seen.step)
        if microscope is not None:
            _trace_back(found, microscope, _suspects(found, run), run)
    return found


def _many_steps(run: LoopRun, start: int, step: int) -> bool:
    """Whether optimizer step `step` is one of many since the beginning of iteration `start`."""
    first = run.record.taped(start) if run.record is not None else None
    return first is not None and step - first.steps > MANY_STEPS


def _look(
    run: LoopRun, seen: Seen, watcher: Watcher, found: Located, snapshot: Snapshot, start: int, step: int
) -> Generator[Attempt, Outcome, Microscope | None]:
    """Execute again from `snapshot`, with the microscope from iteration `start`; None if the symptom stayed away."""
    roots = root_modules(snapshot.modules)
    microscope = Microscope(watcher, roots)
    before = [loss for count, _, loss in watcher.sentinel.history.loss if count > snapshot.backwards]
    last = found.iteration - run.first
    assert run.record is not None
    # an iteration that takes many steps (a whole epoch, a `fit()` of a library) is only looked at towards its end
    from_step = step - 1 if _many_steps(run, start, step) else 0

    def around(index: int) -> contextlib.AbstractContextManager[Any]:
        return microscope.over(run, index, from_step) if index >= start else contextlib.nullcontext()

    outcome = yield Attempt(snapshot=snapshot, until=last, around=around, buffers=seen.what == "buffer")
    again = same_symptom(seen, outcome, run, watcher)
    if again is None:
        plain = yield Attempt(snapshot=snapshot, until=last)
        if same_symptom(seen, plain, run, watcher) is not None:
            found.reproduced = "compiled only" if "torch._dynamo" in sys.modules else "unobserved only"
        if outcome.lost:
            found.notes.append(f"{len(outcome.lost)} large tensors written to by the step could not be put back")
        return None
    found.seen = again
    found.step = again.step
    found.iteration = run.iteration  # earlier than the alarm, if what it saw had been bad for some steps
    after = [value for kind, _, value in outcome.fingerprints if kind == "loss"]
    shared = min(len(before), len(after))
    same = shared > 0 and all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(before, after, strict=False))
    found.reproduced = "bitwise" if same else "eager"
    names = Names(roots, snapshot.optimizers)
    variables = read_locals(run.frame)
    taped = run.record.taped(last) if run.record is not None else None
    names.add_item(run.item, variables)
    for value, _, _ in taped.nexts if taped is not None else ():
        names.add_item(value, variables)
    names.add_locals(variables)
    found.names, found.trace = names, microscope.scope.trace
    return microscope


def _suspects(found: Located, run: LoopRun) -> list[Tensor]:
    tensors = [t for t in found.seen.tensors if not is_finite(t)]
    return tensors[:DEEPEST] or found.seen.tensors[:DEEPEST]


def _trace_back(found: Located, microscope: Microscope, tensors: list[Tensor], run: LoopRun) -> None:
    """Follow the bad tensors to the earliest birth among them; else to what came in non-finite."""
    trace = microscope.scope.trace
    findings = [f for t in tensors if (f := trace.births_reaching(t)) is not None]
    findings = [f.instead if f.instead is not None and _known(found, f) is None else f for f in findings]
    sources = [f for f in findings if f.source is not None]
    born = [f for f in findings if f.birth is not None]
    named = [(f, _known(found, f)) for f in sources]
    entered = next(((f, n) for f, n in named if n is not None), named[0] if named else None)
    if entered is not None and entered[1] is None and born:
        entered = None  # a constant from Python, and a birth from it
    if entered is not None:
        found.finding, name = entered
        found.source = name or Name("local", "a value made outside of torch")
        assert found.finding is not None and found.finding.source is not None
        found.source_tensor = found.finding.source.tensor
        if name is not None:
            found.source_tensor = _whole(found, name)
        found.path = path_from(found.finding, trace)
        if found.source.kind in ("item", "local"):
            found.birth = _from_the_batch(found, run)
            if found.source.kind == "local" and found.source_tensor is not None:
                found.birth = _made_by_numpy(found.birth, found.source_tensor, microscope.numpy)
        found.notes += found.finding.notes
        return
    if born:
        found.finding = min(born, key=lambda f: f.birth.index)  # type: ignore[union-attr]
        birth = found.finding.birth
        assert birth is not None
        found.birth = microscope.birth(found.finding, found, _batch_size(run.item))
        found.path = path_from(found.finding, trace)
        found.notes += found.finding.notes
        placed = found.finding.state == "placed"
        found.benign = not found.seen.hard and placed and found.seen.what in ("buffer", "output")


def _whole(found: Located, name: Name) -> Tensor | None:
    whole = found.names.bad_one(name) if found.names is not None else None
    return whole if whole is not None else found.source_tensor


def _known(found: Located, finding: Finding) -> Name | None:
    tensor = finding.source.tensor if finding.source is not None else None
    return found.names.of(tensor) if found.names is not None and tensor is not None else None


def _name(found: Located, tensor: Tensor) -> str | None:
    name = found.names.of(tensor) if found.names is not None else None
    return name.name if name is not None and name.kind not in ("item", "local") else None


def _from_the_batch(found: Located, run: LoopRun) -> Birth:
    """The bad value came with the batch: the line that takes it out of the loader, which rows, which columns."""
    assert found.source_tensor is not None and found.source is not None
    tensor = found.source_tensor
    values = local_values(tensor)
    bad = torch.zeros(0, tensor.dim(), dtype=torch.long) if values is None else (~torch.isfinite(values)).nonzero()
    rows = tuple(sorted({int(i[0]) for i in bad[:10_000]})) if tensor.dim() else ()
    facts = look(tensor, found.source.name)
    line, source = (run.site.line, run.site.source) if found.source.kind == "item" else _made_at(found, run)
    taped = run.record.taped(found.iteration - run.first) if run.record is not None else None
    note = None
    if taped is not None and taped.indices is not None and rows and len(taped.indices) > rows[-1]:
        chosen = ", ".join(str(taped.indices[r]) for r in rows[:8])
        note = f"dataset sample{'s' if len(rows) > 1 else ''} {chosen}{', ...' if len(rows) > 8 else ''}"
    columns = sorted({int(i[-1]) for i in bad[:10_000]}) if tensor.dim() > 1 else []
    if columns and len(columns) <= 16:
        note = (f"{note}, " if note else "") + f"column{'s' if len(columns) > 1 else ''} {', '.join(map(str, columns))}"
    return Birth(
        step=taped.steps if taped is not None else found.step,
        iteration=found.iteration,
        phase="data",
        kind="nan" if facts.nan else "inf",
        op=None,
        file=run.site.file,
        line=line,
        source=source,
        function=run.site.function,
        tensor=found.source.name,
        outputs=(facts,),
        elements=Elements(
            count=int(bad.shape[0]), total=tensor.numel(), first=tuple(tuple(map(int, i)) for i in bad[:5].tolist())
        ),
        rows=rows[:64],
        histograms=figure(found.notes, "histogram", lambda: histograms_of_one(tensor, facts.name), ()),
        note=note,
    )


def _made_by_numpy(birth: Birth, tensor: Tensor, watch: NumpyWatch) -> Birth:
    """The line of the body whose numpy arithmetic gave the value, where numpy reported an error that can make it."""
    event = watch.culprit([tensor])
    if event is None:
        return birth
    return replace(event, step=birth.step, iteration=birth.iteration, rows=birth.rows, elements=birth.elements,
                   outputs=birth.outputs, histograms=birth.histograms)  # fmt: skip


def _made_at(found: Located, run: LoopRun) -> tuple[int, str]:
    """Line and source of a value that the body itself took from outside of torch (numpy, a list, a file).

    The statement of the body that binds its name; without a name, the first op that read it (`torch.tensor(rows)`).
    """
    text = linecache.getlines(run.site.file)
    assert found.source is not None
    with contextlib.suppress(SyntaxError):
        for node in ast.walk(ast.parse("".join(text))):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and run.site.line < node.lineno <= run.site.end_line:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                bound = {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
                if found.source.name.split("[")[0].split(".")[0] in bound:
                    return node.lineno, text[node.lineno - 1].rstrip("\n")
    first = found.finding.path[0].site if found.finding is not None and found.finding.path else None
    if first is not None and first.file == run.site.file:
        return first.line, first.source or run.site.source
    return run.site.line, run.site.source


def _earlier_snapshot(found: Located, run: LoopRun) -> Snapshot | None:
    """The latest snapshot in which the source was still finite, if the tape reaches from there to here."""
    assert run.record is not None
    if found.source_tensor is None:
        return None
    storage = found.source_tensor.untyped_storage()._cdata
    for snapshot in reversed(run.record.snapshots):
        if found.snapshot is not None and snapshot.index >= found.snapshot.index:
            continue
        for entry in snapshot.entries.values():
            with contextlib.suppress(RuntimeError, NotImplementedError):
                same = entry.alias.untyped_storage()._cdata == storage
                if same and entry.copy is not None and is_finite(entry.then()):
                    complete = run.record.at_or_before(snapshot.index) is snapshot
                    return snapshot if complete else None
    return None


def _batch_size(item: Any) -> int | None:
    sizes = [t.shape[0] for _, t in flatten(item) if t.dim() > 0]
    return max(set(sizes), key=sizes.count) if sizes else None


__all__ = ["Located", "Microscope", "locate"]
