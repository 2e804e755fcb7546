"""Under the watch torch.compile makes the same graphs as without: no break, no recompilation."""

import warnings

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from whynan.watch.hooks import Hooks
from whynan.watch.loops import LoopRuntime
from whynan.watch.sentinel import Seen, Sentinel
from whynan.watch.source import SiteTable


def train(backend: str, compiled_step: bool) -> tuple[dict[str, dict[str, int]], list[float]]:
    """What dynamo counted, and the losses."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    forward = torch.compile(model, backend=backend)
    step = torch.compile(optimizer.step, backend=backend) if compiled_step else optimizer.step
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = forward(torch.randn(3, 4)).square().mean()
        loss.backward()
        step()
        losses.append(loss.item())
    kinds = ("stats", "graph_break", "recompiles", "unimplemented")
    return {kind: dict(counters[kind]) for kind in kinds}, losses


@pytest.mark.parametrize("compiled_step", [False, True])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_graphs_and_losses_are_those_of_the_bare_program(backend: str, compiled_step: bool) -> None:
    bare = train(backend, compiled_step)
    seen: list[Seen] = []
    sentinel = Sentinel(seen.append)
    hooks = Hooks(sentinel, LoopRuntime(SiteTable(), lambda run: None))  # type: ignore[arg-type,return-value]
    try:
        watched = train(backend, compiled_step)
    finally:
        hooks.remove()
    assert watched == bare
    assert bare[0]["stats"]["unique_graphs"] >= 1
    assert sentinel.backwards == 5 and sentinel.steps == 5 and not seen


def test_a_model_that_was_compiled_before_is_not_compiled_again() -> None:
    torch._dynamo.reset()
    counters.clear()
    forward = torch.compile(torch.nn.Linear(4, 2), backend="eager")
    forward(torch.randn(3, 4))
    hooks = Hooks(Sentinel(lambda seen: None), LoopRuntime(SiteTable(), lambda run: None))  # type: ignore[arg-type,return-value]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            forward(torch.randn(3, 4))
    finally:
        hooks.remove()
    assert hooks.compiles and counters["stats"]["unique_graphs"] == 1
