"""Whole processes, bare and watched."""

import pytest
from benchmarks.endtoend import as_script, end_to_end
from benchmarks.programs import HERE


@pytest.mark.parametrize("name", ["mlp", "conv", "transformer", "gpt2"])
def test_every_program_becomes_a_script(name: str) -> None:
    script = as_script((HERE / f"{name}.py").read_text())
    compile(script, name, "exec")
    assert script.count("clock()") == 3


def test_a_program_without_the_loop_is_refused() -> None:
    with pytest.raises(ValueError, match="one loop"):
        as_script("x = 1\n")


@pytest.mark.slow
def test_both_compute_the_same_and_are_timed() -> None:
    runs = end_to_end("mlp", rounds=2, seconds=0.2)
    assert len(runs.bare.blocks) == len(runs.watched.blocks) == 2
    assert 0.5 < runs.ratio < 3.0 and str(runs).startswith("mlp: ")
