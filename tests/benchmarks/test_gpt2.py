"""The program for GPUs, in a tiny size on the CPU, so that it runs as it is where there is one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from benchmarks.programs import Program
from torch._dynamo.utils import counters

TINY = {"device": "cpu", "vocabulary": 64, "length": 16, "width": 32, "heads": 2, "depth": 2, "batch": 2}
BACKENDS = [None, "aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]


def tiny(backend: str | None) -> Program:
    return Program("gpt2", **TINY, **({"compiled": True, "backend": backend} if backend else {}))


def trained(backend: str | None, *ways: str) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Parameters after three steps under each of these ways, and what dynamo counted."""
    torch._dynamo.reset()
    counters.clear()
    program = tiny(backend)
    for way in ways:
        with getattr(program, way)() as train:
            train(3)
    kinds = ("frames", "stats", "graph_break", "recompiles", "unimplemented")
    return list(program.state[0].parameters()), {kind: dict(counters[kind]) for kind in kinds}


@pytest.mark.parametrize("backend", BACKENDS)
def test_bare_and_watched_give_the_same_graphs_and_the_same_numbers(backend: str | None) -> None:
    parameters, counted = trained(backend, "bare", "bare")
    for ways in (("bare", "watched"), ("watched", "bare"), ("watched", "watched")):
        others, recounted = trained(backend, *ways)
        assert all(torch.equal(a, b) for a, b in zip(parameters, others, strict=True))
        assert recounted == counted
    assert counted["stats"].get("unique_graphs", 0) == (backend is not None)


def test_its_full_size_is_gpt2_124m() -> None:
    from benchmarks.programs.gpt2 import GPT2

    with torch.device("meta"):
        model = GPT2(50304, 1024, 768, 12, 12)
    assert 124e6 < sum(p.numel() for p in model.parameters()) < 125e6
