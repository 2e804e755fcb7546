"""Slices: they lead to the birth, run by themselves, and survive the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from replay.slices import STEPS, log_of_softmax, program_of
from whynan.errors import CaseError
from whynan.replay.again import replay
from whynan.replay.program import NotThere, overload_of
from whynan.replay.slicefile import JSON, HeldProgram, read_program
from whynan.replay.slicing import reproduces, size_of


def stored(program: Any, folder: Path) -> Path:
    held = HeldProgram(program)
    held.freeze()
    held.write(folder, str(folder))
    return folder


def edit(folder: Path, change: Any) -> None:
    data = json.loads((folder / JSON).read_text())
    change(data)
    (folder / JSON).write_text(json.dumps(data))


@pytest.mark.parametrize("name", STEPS)
def test_born_again_from_the_file(name: str, tmp_path: Path) -> None:
    program = program_of(STEPS[name])
    verdict = replay(read_program(stored(program, tmp_path)))
    assert verdict.born and verdict.same_inputs and verdict.first is None and verdict.altered == []
    assert verdict.alone is True and verdict.compared > 0


def test_what_leads_to_the_birth() -> None:
    program = program_of(log_of_softmax)
    bases = [op.base for op in program.ops if op.base not in ("detach", "alias")]
    assert bases[-3:] == ["mm", "_softmax", "log"] and program.born.base == "log"
    assert program.kind == "inf" and program.bad[0].count == 2 and program.bad[0].first == [[0, 0], [0, 1]]


def test_the_backward_pass_knows_its_forward() -> None:
    program = program_of(STEPS["root_at_zero"])
    assert program.born.phase == "backward" and program.born.node == "SqrtBackward0"
    assert program.born.forward is not None and program.ops[program.born.forward].base == "sqrt"


def test_random_numbers_are_leaves() -> None:
    assert all("dropout" not in op.base and "bernoulli" not in op.base for op in program_of(STEPS["dropped_out"]).ops)


def test_a_budget_makes_it_shorter() -> None:
    whole = program_of(log_of_softmax)
    small = program_of(log_of_softmax, limit=size_of(whole) - 1)
    assert len(small.ops) < len(whole.ops) and size_of(small) < size_of(whole) and reproduces(small)


def test_an_altered_tensor_is_denied(tmp_path: Path) -> None:
    read = read_program(stored(program_of(log_of_softmax), tmp_path))
    leaf = next(leaf for leaf in read.leaves.values() if leaf.tensor.dtype == torch.float32)
    leaf.tensor = torch.zeros_like(leaf.tensor)
    verdict = replay(read)
    assert not verdict.born and not verdict.same_inputs and verdict.alone is True
    assert len(verdict.altered) == 1 and "max 300 then, 0 now" in verdict.altered[0]
    assert verdict.first is not None and verdict.first[0] == 0


def test_another_result_names_the_op(tmp_path: Path) -> None:
    folder = stored(program_of(log_of_softmax), tmp_path)

    def change(data: dict[str, Any]) -> None:
        op = next(op for op in data["ops"] if op["name"] == "aten::_softmax")
        op["outs"][0]["seen"].update(digest="0" * 32, max=0.5)

    edit(folder, change)
    verdict = replay(read_program(folder))
    assert verdict.born and not verdict.same_inputs  # -inf from other bits
    assert verdict.first is not None and verdict.first[1].base == "_softmax"
    assert "max 0.5 then, 1 now" in verdict.first[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema="whynan.slice/2"), "reads \"whynan.slice/1\""),
        (lambda d: d["ops"][0].update(name="aten::from_file"), "none that a recorded case may run"),
        (lambda d: d["ops"][0].update(name="aten::save"), "none that a recorded case may run"),
        (lambda d: d["ops"][0].update(name="aten::__getattribute__"), "none that a recorded case may run"),
        (lambda d: d["ops"][0].update(name="aten::_sparse_csr_tensor_unsafe"), "none that a recorded case may run"),
        (lambda d: d["ops"][0].update(name="mylib::boom"), "belongs to another library"),
        (lambda d: d["ops"][0].update(args=[{"value": 999}]), "reads a value that nothing before it makes"),
        (lambda d: d["ops"][0].update(kwargs={"x=1);import os;(": 1}), "arguments that it does not take"),
        (lambda d: d["ops"][0].update(args=[{"pickle": "x"}]), "no argument that this version knows"),
        (lambda d: d["ops"][0].update(outs=[{"value": -1, "name": "result"}]), "no number of a value"),
        (lambda d: d.update(birth=10_000), "birth names no op"),
        (lambda d: d["bad"][0].update(output=7), "bad names no output"),
        (lambda d: d.pop("ops"), "is damaged: KeyError"),
        (lambda d: d.update(ops=5), "is damaged: TypeError"),
        (lambda d: d["leaves"][0].update(tensor=7), "no description of a tensor"),
    ],
)  # fmt: skip
def test_hostile_slices(tmp_path: Path, change: Any, message: str) -> None:
    folder = stored(program_of(log_of_softmax), tmp_path)
    edit(folder, change)
    with pytest.raises(CaseError) as caught:
        read_program(folder)
    assert message in str(caught.value) and str(folder) in str(caught.value)


def test_an_op_that_would_fill_the_memory(tmp_path: Path) -> None:
    folder = stored(program_of(log_of_softmax), tmp_path)

    def change(data: dict[str, Any]) -> None:
        op = data["ops"][0]
        op.update(name="aten::full", overload="default", args=[[1 << 40], 1.0], kwargs={})

    edit(folder, change)
    with pytest.raises(CaseError, match="would make a tensor of shape"):
        replay(read_program(folder))


def test_an_op_of_another_version(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match=r"has no aten::log\.of_the_future"):
        overload_of("aten::log", "of_the_future")
    folder = stored(program_of(log_of_softmax), tmp_path)
    edit(folder, lambda d: d["ops"][-1].update(overload="of_the_future"))
    verdict = replay(read_program(folder))
    assert not verdict.born and verdict.refused is not None and "of_the_future" in verdict.refused
