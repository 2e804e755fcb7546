"""What watching may cost: thresholds with room for a machine that does other things too."""

import pytest
import torch
from benchmarks.measure import Contender, measure
from benchmarks.memory import memory
from benchmarks.microscope import microscope
from benchmarks.programs import Program

# the aim is 1.05 for the launch-bound net and 1.02 from 10 ms a step; a shared machine measures with some hundredths
THRESHOLDS = {"mlp": 1.10, "conv": 1.06, "transformer": 1.04}


@pytest.fixture(autouse=True)
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", THRESHOLDS)
def test_ratio_to_the_bare_loop(name: str) -> None:
    program = Program(name)
    contenders = [Contender("bare", program.bare), Contender("whynan", program.watched)]
    ratios = []
    for _ in range(3):  # the best of three: a neighbour's job only ever adds
        bare, watched = measure(contenders, rounds=7, seconds=1.0, before=program.rewind)
        ratios.append(watched.ratio(bare))
        if ratios[-1] <= THRESHOLDS[name]:
            break
    assert min(ratios) <= THRESHOLDS[name], ratios


@pytest.mark.slow
def test_microscope() -> None:
    assert microscope("transformer", 5)[2] <= 6.0


@pytest.mark.slow
def test_memory_without_snapshots() -> None:
    found = memory("mlp", 2000)
    assert found.share <= 0.01 and found.resident_share <= 0.02 and found.growth <= 0.01 * found.bare.resident
