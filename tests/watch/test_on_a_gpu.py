"""On a real device: numbers arrive, nothing waits, nothing changes, bad steps are skipped, graphs are left alone.

    python -m pytest -m gpu
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from benchmarks.programs import Program
from benchmarks.synchronisations import added
from torch import nn

from whynan.tensors.statistics import reference
from whynan.watch.contain import nonfinite_flag
from whynan.watch.hooks import Hooks
from whynan.watch.loops import LoopRuntime
from whynan.watch.measuring import SOON, TRIALS
from whynan.watch.sentinel import Seen, Sentinel
from whynan.watch.source import SiteTable

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]
SMALL = {"vocabulary": 512, "length": 64, "width": 128, "heads": 4, "depth": 2, "batch": 4}


class Watched:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.sentinel = Sentinel(self.seen.append)
        self.hooks = Hooks(self.sentinel, LoopRuntime(SiteTable(), lambda run: None))  # type: ignore[arg-type,return-value]


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.hooks.remove()


def model_and_optimizer(width: int = 64) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)).cuda()
    return model, torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, factor: float = 1.0) -> None:
    optimizer.zero_grad()
    width = next(model.parameters()).shape[1]
    (model(torch.ones(4, width, device="cuda")).sum() * factor).backward()
    optimizer.step()


def test_numbers_arrive_with_their_steps(watched: Watched) -> None:
    model, optimizer = model_and_optimizer()
    for _ in range(20):
        step(model, optimizer)
    torch.cuda.synchronize()
    assert watched.sentinel.last_look() is None and watched.seen == []
    assert [s for _, s, _ in watched.sentinel.history.loss] == list(range(20))
    norms = watched.sentinel.history.grad_norms[-1][2]
    assert norms == pytest.approx([float(p.grad.norm()) for p in model.parameters() if p.grad is not None], rel=1e-5)


def test_a_bad_gradient_is_skipped_and_told(watched: Watched) -> None:
    model, optimizer = model_and_optimizer()
    step(model, optimizer)
    before = [p.detach().clone() for p in model.parameters()]
    step(model, optimizer, math.inf)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    watched.seen += filter(None, [watched.sentinel.last_look()])
    assert watched.seen and watched.seen[0].step == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_flag_is_exact(dtype: torch.dtype, value: float) -> None:
    most = torch.finfo(dtype).max
    for n in (1, 1000, 70_000, 3_000_000):
        t = torch.full((n,), most, dtype=dtype, device="cuda")
        good = nonfinite_flag([t, t[:1]])
        t[n // 2] = value
        bad = nonfinite_flag([t[:0], t])
        assert good is not None and bad is not None and (good.item(), bad.item()) == (0.0, 1.0)


def test_the_kernel_again_and_again_follows_its_tensors() -> None:
    one = pytest.importorskip("whynan.tensors.kernel", exc_type=ImportError).OnePass()
    generator = torch.Generator("cuda").manual_seed(0)
    for n in (10, 10, 5000, 3_000_001):
        tensors = [torch.randn(n, generator=generator, device="cuda") for _ in range(3)]
        tensors += [torch.randn(4, 3, 5, 7, device="cuda").to(memory_format=torch.channels_last)]
        tensors += [torch.randn(n + 1, device="cuda")[1:], torch.randn(n, device="cuda").bfloat16()]
        rows, flag = one(tensors)
        torch.testing.assert_close(rows, torch.stack(list(reference(tensors))), rtol=1e-12, atol=0)
        assert flag.item() == 0.0
        tensors[1][n // 2] = math.nan
        assert one(tensors)[1].item() == 1.0


def test_both_ways_of_measuring_are_timed_and_one_is_chosen(watched: Watched) -> None:
    model, optimizer = model_and_optimizer(2048)
    for _ in range(4 * SOON):
        step(model, optimizer)
        torch.cuda.synchronize()
        plan = watched.sentinel._plans[id(optimizer)]
        plan.gradients.left = 1
    assert watched.sentinel.device is not None
    seconds = watched.sentinel.device._of(optimizer).gradients.seconds
    assert len(seconds["kernel"]) == len(seconds["foreach"]) == TRIALS
    assert not watched.sentinel.device._of(optimizer).gradients._broken


@pytest.mark.parametrize("compiled", [False, True])
def test_the_watch_adds_nothing_that_waits(compiled: bool) -> None:
    program = Program("gpt2", compiled=compiled, **SMALL)
    assert added(program, warm=120, steps=30, warnings=False) == {}


@pytest.mark.parametrize("compiled", [False, True])
def test_training_is_bit_identical(compiled: bool) -> None:
    results = []
    for way in ("bare", "watched"):
        torch._dynamo.reset()
        program = Program("gpt2", compiled=compiled, **SMALL)
        with getattr(program, way)() as train:
            train(40)
        results.append([p.detach().clone() for p in program.state[0].parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_captured_graph_holds_nothing_of_ours(watched: Watched) -> None:
    torch.manual_seed(0)
    model = nn.Linear(64, 64).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, capturable=True, fused=True)
    x = torch.ones(4, 64, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            model(x).square().sum().backward()
            optimizer.step()
    torch.cuda.current_stream().wait_stream(side)
    seen = len(watched.sentinel.history.loss)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        loss = model(x).square().sum()
        loss.backward()
        optimizer.step()
    losses = []
    for _ in range(3):
        graph.replay()
        losses.append(loss.item())
    assert losses[0] > losses[1] > losses[2] and not hasattr(optimizer, "found_inf")
    watched.sentinel.last_look()
    assert len(watched.sentinel.history.loss) <= seen + 3  # those of before arrive late, none of the graph
