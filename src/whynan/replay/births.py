"""What an op did to finiteness, and the answer to "where": births, sources, and the words a report needs for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from whynan.case.facts import Birth, Elements, State, TensorFacts
from whynan.replay.figures import figure
from whynan.replay.influence import Masks
from whynan.replay.trace import OpRecord, TensorRef, Trace
from whynan.tensors.expression import call_text
from whynan.tensors.look import look, unobserved

Names = Callable[[torch.Tensor], "str | None"]


@dataclass
class Finding:
    """Where the bad values of one tensor come from.

    `birth` is the op (None when they were there before the trace began), `source` the tensor that was bad on entry
    (None when an op is to blame). `state` is "born", "placed" (nothing but constants that the program put there) or
    "carried" (a source). `path` leads from the birth, or the first reader of the source, to the symptom.
    """

    symptom: TensorRef
    birth: OpRecord | None = None
    source: TensorRef | None = None
    state: State = "finite"
    path: list[OpRecord] = field(default_factory=list)
    states: dict[int, State] = field(default_factory=dict)  # index of a record on the path -> its state, by elements
    outputs: Masks = field(default_factory=dict)  # bad elements of the birth that reach the symptom
    elements: Elements | None = None
    kind: str = "nan"
    scalar: tuple[str, float] | None = None  # the non-finite Python number that the birth was given, and its argument
    uninitialised: bool = False
    exact: bool = True  # False when some step of the way was followed by whole tensors
    instead: Finding | None = None  # an op to blame, where nobody knows the source: a copy by `torch.tensor([x])`
    others: list[OpRecord] = field(default_factory=list)  # further births that reach the symptom, later than `birth`
    notes: list[str] = field(default_factory=list)  # figures that could not be made


def bad_scalars(record: OpRecord) -> Iterator[tuple[str, float]]:
    """Python numbers among the arguments that are nan or infinite, unless infinity means "no limit" there."""
    given = dict(zip(record.plan.names, record.args)) | record.kwargs
    for name, value in given.items():
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, (float, complex)) and not _is_finite(item) and not _is_limit(record, name):
                yield name, item if isinstance(item, float) else math.nan


def _is_finite(value: float | complex) -> bool:
    return math.isfinite(value.real) and math.isfinite(value.imag)


def _is_limit(record: OpRecord, name: str) -> bool:
    base = record.plan.base
    if base.startswith(("clamp", "hardtanh", "nan_to_num")):
        return True
    return name in ("ord", "p") and ("norm" in base or "dist" in base)


def deliberate(value: torch.Tensor | None) -> bool:
    """Infinities that look like a mask or a starting value: nothing but them, or -inf beside one and the same number.

    Data that went infinite has other numbers around it; a nan is never deliberate.
    """
    if value is None or not value.is_floating_point():
        return False
    with unobserved():
        flat = value.reshape(-1).float()
        if bool(torch.isnan(flat).any()):
            return False
        finite = flat[torch.isfinite(flat)]
        if finite.numel() == 0:
            return True
        return not bool((flat == math.inf).any()) and bool((finite == finite[0]).all())


def places(record: OpRecord) -> bool:
    """The op puts a non-finite constant of the program into a tensor, all its tensor inputs being finite."""
    if record.phase == "optimizer":
        return False  # a learning rate that is nan is no mask
    return record.plan.constant or any(True for _ in bad_scalars(record))


def state_of(record: OpRecord) -> State:
    """By whole tensors: what the op made of what it was given."""
    given = [ref for ref in record.inputs if ref.bad]
    if not record.bad:
        return "absorbed" if given else "finite"
    if record.plan.view or record.plan.allocates:
        return "carried" if given else "finite"
    if not given:
        return "placed" if places(record) else "born"
    return "carried"


def state_on(finding: Finding, record: OpRecord) -> State:
    return finding.states.get(record.index, record.state)


def birth_from(
    finding: Finding,
    trace: Trace,
    step: int,
    iteration: int | None,
    names: Names | None = None,
    batch_size: int | None = None,
) -> Birth | None:
    """The report's `Birth` for a finding that names an op; for one that names a source, the first op that read it."""
    record = finding.birth or (finding.path[0] if finding.path else None)
    if record is None:
        return None
    from whynan.replay.histograms import histograms_of
    from whynan.replay.rows import rows_of

    site, origin = record.site, record.origin
    return Birth(
        step=step,
        iteration=iteration,
        phase=record.phase,
        kind="nan" if finding.kind == "nan" else "inf",
        op=record.op,
        api=call_text(site) if site else None,
        autograd_node=record.node,
        file=site.file if site else None,
        line=site.line if site else None,
        end_line=site.end_line if site else None,
        column=site.column if site else None,
        end_column=site.end_column if site else None,
        source=site.source if site else None,
        expression=site.expression if site else None,
        function=site.function if site else None,
        module=record.module,
        tensor=_tensor_name(finding, record, names),
        inputs=facts_of(record.inputs),
        outputs=facts_of(record.outputs),
        elements=finding.elements,
        rows=rows_of(trace, finding, batch_size),
        stack=origin.stack,
        histograms=figure(finding.notes, "histograms", lambda: histograms_of(finding), ()),
        note=_note(finding, record),
    )


def concerned(finding: Finding, record: OpRecord) -> list[TensorRef]:
    """The floating inputs of the birth op that met the bad elements: of a `_foreach_` op those of one place."""
    bad = {_place(record.outputs[i]) for i in finding.outputs} if record is finding.birth else set()
    floats = [ref for ref in record.inputs if ref.area.floating]
    return [ref for ref in floats if not bad or None in bad or _place(ref) in (None, *bad)]


def _place(ref: TensorRef) -> str | None:
    """ "self[3]" -> "3": the place in the list of a `_foreach_` op."""
    return ref.name.rpartition("[")[2].removesuffix("]") if ref.name.endswith("]") else None


def facts_of(refs: list[TensorRef]) -> tuple[TensorFacts, ...]:
    """Facts of tensors as they were; shape and dtype only where the values were not kept."""
    return tuple(_facts(ref) for ref in refs)


def _facts(ref: TensorRef) -> TensorFacts:
    value = ref.value
    if value is not None:
        return look(value, ref.name)
    dtype = str(ref.dtype).removeprefix("torch.")
    return TensorFacts(
        name=ref.name, shape=tuple(ref.shape), dtype=dtype, device=str(ref.device), numel=ref.shape.numel()
    )


def _tensor_name(finding: Finding, record: OpRecord, names: Names | None) -> str | None:
    """Name of the first parameter, buffer or state entry that the bad value was written to, or came from."""
    if names is None:
        return None
    candidates: list[TensorRef] = [finding.source] if finding.source is not None else []
    for step in [record, *finding.path]:
        candidates += [ref for ref in step.outputs if ref.bad and ref.name.split("[")[0] in step.plan.written]
    for ref in [*candidates, finding.symptom]:
        tensor = ref.tensor
        name = names(tensor) if tensor is not None else None
        if name:
            return name
    return None


def _note(finding: Finding, record: OpRecord) -> str | None:
    if finding.uninitialised:
        return "This memory was allocated and read before anything was written to it."
    if finding.source is not None:
        return f"The argument {finding.source.name!r} was not finite before this step began; this is its first reader."
    if finding.scalar is not None:
        name, value = finding.scalar
        return f"The Python number {name}={value} was handed to {record.op}."
    if finding.state == "placed":
        return "The program put this value there; no op made it."
    return None
