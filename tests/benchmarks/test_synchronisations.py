"""What makes the host wait is counted, and the watch of a device does none of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.programs import Program
from benchmarks.synchronisations import added, profiled, waits
from torch import Tensor

from whynan.watch.device import Device
from whynan.watch.lagged import Arrived, Lagged

TINY = {"device": "cpu", "vocabulary": 64, "length": 16, "width": 32, "heads": 2, "depth": 2, "batch": 2}
READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__")


@dataclass
class Event:
    name: str


def test_waits() -> None:
    names = ["aten::mm", "cudaLaunchKernel", "cudaStreamSynchronize", "Memcpy DtoH (Device -> Pageable)",
             "Memcpy DtoH (Device -> Pinned)", "cudaMemcpyAsync", "aten::_local_scalar_dense", "cudaStreamSynchronize",
             "cudaStreamWaitEvent", "Memcpy HtoD (Pageable -> Device)", "cudaEventQuery"]  # fmt: skip
    assert waits(map(Event, names)) == Counter(
        {"cudaStreamSynchronize": 2, "Memcpy DtoH (Device -> Pageable)": 1, "aten::_local_scalar_dense": 1,
         "Memcpy HtoD (Pageable -> Device)": 1}
    )  # fmt: skip


def test_a_profile_sees_every_read_of_the_program() -> None:
    program = Program("mlp")
    events = profiled(program.bare, warm=2, steps=5)
    assert sum(e.name == "aten::nll_loss_forward" for e in events) == 5
    assert added(program, warm=2, steps=5)["aten::item"] >= 5  # on the CPU the loss is read as it comes


@pytest.fixture
def lagged() -> Iterator[Program]:
    """GPT-2 in a tiny size, watched as if its tensors were on a device."""
    program = Program("gpt2", **TINY)
    for warnings in (False, True):
        with program.watched(warnings=warnings):
            pass
        watcher = program.watches[("warnings", warnings),].watcher
        assert watcher is not None
        watcher.sentinel.device = Device(watcher.sentinel, Lagged(Arrived, pinned=False))
        watcher.sentinel._all_lag = True
    yield program


def test_the_watch_of_a_device_adds_nothing_that_waits(lagged: Program) -> None:
    assert added(lagged, warm=12, steps=12, warnings=False) == {}


@pytest.mark.parametrize("warnings", [False, True])
def test_the_watch_of_a_device_reads_only_what_has_arrived(
    lagged: Program, warnings: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: Counter[str] = Counter()

    def noted(original: Any) -> Any:
        def read(*args: Any, **kwargs: Any) -> Any:
            file = Path(sys._getframe(1).f_code.co_filename)
            if "whynan" in file.parts:
                found[file.name] += 1
            return original(*args, **kwargs)

        return read

    with lagged.watched(warnings=warnings) as train:
        for name in READS:
            monkeypatch.setattr(Tensor, name, noted(getattr(Tensor, name)))
        torch.manual_seed(0)
        train(60)
        monkeypatch.undo()
    assert found["lagged.py"] >= 60
    once = {"many.py", "evaluation.py"}  # the optimizer's parameters when it is met; the output before any backward
    # a look at activations ends with one transfer; the second moment is only read where it is on the CPU
    assert set(found) - {"lagged.py"} <= once | ({"looks.py", "adam_rms.py"} if warnings else set())
    assert all(found[name] <= 1 for name in once)
