"""Executing a recorded slice on this machine, and comparing every op with what was seen when it was recorded."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from whynan.errors import CaseError
from whynan.replay.prints import difference, print_of
from whynan.replay.program import LARGEST, NotThere, Op, Program, bare, call, execute, kind_at
from whynan.replay.settings import as_recorded, differences


@dataclass
class Verdict:
    """What came of a replay. `born` is the answer; the rest says how well it can be trusted."""

    born: bool
    op: Op
    kind: str
    elements: list[list[int]] = field(default_factory=list)  # recorded ones that are bad again
    compared: int = 0  # ops whose values were recorded
    ops: int = 0  # ops executed
    first: tuple[int, Op, str] | None = None  # the first op that differs: position, op, how
    refused: str | None = None  # an op that could not run here
    alone: bool | None = None  # the birth by itself, from the inputs that were recorded: bad again?
    same_inputs: bool = False  # what the birth read is what it read then, bit for bit
    altered: list[str] = field(default_factory=list)  # leaves that are not what was recorded: the files were changed
    settings: list[str] = field(default_factory=list)  # differences between then and now


def replay(program: Program) -> Verdict:
    """Execute the slice from its leaves, then the birth alone from its recorded inputs."""
    verdict = Verdict(False, program.born, program.kind, settings=differences(program.settings))
    for leaf in program.leaves.values():
        if leaf.seen is not None and (how := difference(leaf.seen, print_of(leaf.tensor))) is not None:
            verdict.altered.append(f"{leaf.name}: {how}")

    def each(position: int, outputs: dict[int, Tensor]) -> None:
        verdict.ops += 1
        op = program.ops[position]
        for out in op.outs:
            if out.seen is not None:
                verdict.compared += 1
                how = difference(out.seen, print_of(outputs[out.value]))
                if how is not None and verdict.first is None:
                    verdict.first = (position, op, how)

    with as_recorded(program.settings):
        try:
            _judge(program, verdict, execute(program, each=each, limit=LARGEST))
        except NotThere as error:
            verdict.refused = str(error)
        verdict.alone = _alone(program)
    verdict.same_inputs = not verdict.altered and (verdict.first is None or verdict.first[0] >= program.birth)
    return verdict


def _judge(program: Program, verdict: Verdict, made: dict[int, Tensor]) -> None:
    for bad in program.bad:
        tensor = made[program.born.outs[bad.output].value]
        for index in bad.first:
            if kind_at(tensor, type(bad)(bad.output, 1, bad.total, [index]), program.kind):
                verdict.elements.append(index)
    verdict.born = bool(verdict.elements)


def _alone(program: Program) -> bool | None:
    """The birth from what it read in the recorded run. None where that was not kept, or cannot run."""
    values = {n: leaf.tensor for n, leaf in program.leaves.items()} | program.inputs
    if any(value not in values for value in program.born.refs()):
        return None
    try:
        with bare():
            made = call(program.born, values, LARGEST)
    except NotThere:
        return None
    return any(kind_at(made[program.born.outs[bad.output].value], bad, program.kind) for bad in program.bad)


def check_found(program: Program) -> None:
    """CaseError for a program that says nothing is bad: there would be nothing to confirm."""
    if not program.bad or not any(bad.first for bad in program.bad):
        raise CaseError("The slice of this case names no bad element: there is nothing to confirm.")
