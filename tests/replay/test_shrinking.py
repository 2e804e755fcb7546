"""Reproducers: few lines, torch only, and they fail as recorded. Real processes for two, `exec` for the others."""

from __future__ import annotations

import random
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replay.slices import STEPS, program_of
from whynan.errors import CaseError
from whynan.replay import shrinking
from whynan.replay.reduce import ddmin
from whynan.replay.shrinking import MOST_LINES, runs, shrink
from whynan.replay.simple import number, written

MUST_SAY = {
    "log_of_softmax": "y = torch.log(x)",
    "root_at_zero": "y = torch.sqrt(x)\ny.backward()",
    "where_trap": "torch.where(",
    "adam_without_eps": "torch.addcdiv(",
    "half_product": "dtype=torch.float16",
    "masked_softmax": "torch.softmax(x, -1)",
    "singular_vectors": "torch.linalg.svd(",
    "layer_in_place": "y = x / other",
    "dropped_out": "y = torch.log(x)",
}


def executed(text: str) -> bool:
    """The script in this process; it prints."""
    try:
        exec(compile(text, "reproducer", "exec"), {})
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("name", STEPS)
def test_a_small_script_that_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name not in ("root_at_zero", "half_product"):
        monkeypatch.setattr(shrinking, "runs", executed)
    text = shrink(program_of(STEPS[name]), title="test")
    assert MUST_SAY[name] in text
    assert len(text.splitlines()) <= MOST_LINES
    assert [line for line in text.splitlines() if line.startswith(("import", "from"))] == ["import torch"]
    assert text.splitlines()[-1].startswith("assert not torch.isfinite(")


def test_a_script_that_does_not_fail_is_no_reproducer() -> None:
    assert not runs("import torch\nassert not torch.isfinite(torch.ones(1)).all()\n")


def test_overflow_stays_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """exp(large) may not become log(0)-like: what fails only for its precision must not fail in float64 afterwards."""
    monkeypatch.setattr(shrinking, "runs", executed)
    text = shrink(program_of(lambda: torch.pow(torch.tensor([3.0, 2.5]), 90.0).sum()), title="test")
    space: dict[str, torch.Tensor] = {}
    exec(text.rpartition("print")[0], space)
    assert torch.isfinite(space["x"]).all() and float(space["x"]) != 0


def test_more_of_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "runs", executed)
    text = shrink(program_of(STEPS["log_of_softmax"]), context=1, title="test")
    assert "torch.softmax(" in text and "torch.log(" in text


def test_nothing_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_of(STEPS["log_of_softmax"])
    for leaf in program.leaves.values():
        leaf.tensor = torch.zeros_like(leaf.tensor)
    program.inputs = {value: torch.ones_like(tensor) for value, tensor in program.inputs.items()}
    with pytest.raises(CaseError, match="could not be made to fail"):
        shrink(program, title="test")


@given(st.sets(st.integers(0, 40), min_size=1, max_size=4))
def test_ddmin_keeps_what_matters_and_nothing_else(needed: set[int]) -> None:
    kept = ddmin(range(41), lambda items: needed <= set(items), time.monotonic() + 10)
    assert set(kept) == needed


@given(st.floats(allow_nan=False, width=32))
def test_numbers_are_written_exactly(value: float) -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        exact = torch.tensor(value, dtype=torch.float64).to(dtype)
        again = eval(number(exact.item(), dtype), {"torch": torch})
        assert torch.tensor(again, dtype=torch.float64).to(dtype).item() == exact.item()


def test_tensors_are_written_exactly() -> None:
    random.seed(0)
    for tensor in (
        torch.randn(2, 3), torch.zeros(7, dtype=torch.int64), torch.ones(5, 2).half(), torch.full((6,), 0.1),
        torch.tensor(True), torch.zeros(0, 3), torch.tensor([torch.nan, -torch.inf]), torch.full((3, 3), 2),
        torch.zeros(6, dtype=torch.bool),
    ):  # fmt: skip
        again = eval(written(tensor, False), {"torch": torch})
        assert again.dtype == tensor.dtype and again.shape == tensor.shape
        assert torch.equal(again.nan_to_num(7) if again.is_floating_point() else again,
                           tensor.nan_to_num(7) if tensor.is_floating_point() else tensor)  # fmt: skip
