"""What the sentinel alarms on, and what it must leave alone."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from whynan.watch.budget import WARM_UP
from whynan.watch.hooks import Hooks
from whynan.watch.loops import LoopRuntime
from whynan.watch.sentinel import SKIPPED_IN_A_ROW, URGENT, Seen, Sentinel
from whynan.watch.source import SiteTable


class Watched:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.sentinel = Sentinel(self.seen.append)
        self.hooks = Hooks(self.sentinel, LoopRuntime(SiteTable(), lambda run: None))  # type: ignore[arg-type,return-value]

    @property
    def what(self) -> list[str]:
        return [s.what for s in self.seen]


@pytest.fixture
def watched():  # type: ignore[no-untyped-def]
    watched = Watched()
    yield watched
    watched.hooks.remove()


def model_and_optimizer(**options: float) -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    return model, torch.optim.Adam(model.parameters(), lr=0.1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_loss(watched: Watched, value: float) -> None:
    model, _ = model_and_optimizer()
    (model(torch.ones(1, 3)).sum() * 0 + value).backward()
    assert watched.what == ["loss"] and watched.seen[0].value == str(value)


def test_gradient_before_it_reaches_the_weights(watched: Watched) -> None:
    model, optimizer = model_and_optimizer()
    model.weight.grad = torch.tensor([[0.0, math.inf, 0.0]])
    optimizer.step()
    assert watched.what[0] == "gradient" and watched.seen[0].owner is model.weight


def test_parameter_and_state_after_the_step(watched: Watched) -> None:
    model, optimizer = model_and_optimizer()
    optimizer.param_groups[0]["lr"] = math.nan
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert watched.what == ["parameter"]
    model, optimizer = model_and_optimizer()
    model(torch.ones(1, 3)).sum().mul(1e30).backward()  # its square overflows in exp_avg_sq, the weights stay finite
    optimizer.step()
    assert watched.what == ["parameter", "state"] and watched.seen[1].name == "exp_avg_sq"


def test_large_finite_gradients_are_no_alarm(watched: Watched) -> None:
    model, _ = model_and_optimizer()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
    model(torch.full((1, 3), 1e25)).sum().backward()
    optimizer.step()
    assert watched.what == []


def test_parameter_that_is_infinite_on_purpose(watched: Watched) -> None:
    mask = nn.Parameter(torch.tensor([0.0, -math.inf]))
    optimizer = torch.optim.SGD([mask], lr=0.1)
    (torch.softmax(mask, 0) * torch.ones(2)).sum().backward()
    optimizer.step()
    assert watched.what == []
    mask.grad = torch.tensor([0.0, math.nan])
    optimizer.step()
    assert watched.what == ["gradient", "parameter"]


def test_parameter_without_gradient(watched: Watched) -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.ones(2))])
    optimizer.step()
    assert watched.what == []


def test_trial_points_of_a_line_search(watched: Watched) -> None:
    x = nn.Parameter(torch.tensor([5.0]))
    optimizer = torch.optim.LBFGS([x], lr=200.0, line_search_fn="strong_wolfe", max_iter=3)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.exp(x).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert "loss" not in watched.what


@pytest.mark.parametrize(("line_search", "start", "rate"), [("strong_wolfe", 100.0, 1.0), (None, 5.0, 200.0)])
def test_points_that_lbfgs_takes(watched: Watched, line_search: str | None, start: float, rate: float) -> None:
    """Where training already is when a step begins, and every point where nothing is searched."""
    x = nn.Parameter(torch.tensor([start]))
    optimizer = torch.optim.LBFGS([x], lr=rate, line_search_fn=line_search, max_iter=3)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.exp(x * x).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert "loss" in watched.what


def test_scaler_search_is_no_symptom_until_it_never_ends(watched: Watched) -> None:
    model, optimizer = model_and_optimizer()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126)
    for _ in range(4):
        optimizer.zero_grad()
        scaler.scale(model(torch.full((1, 3), 100.0)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert watched.what == []
    for _ in range(SKIPPED_IN_A_ROW + 1):
        model.weight.grad = torch.full_like(model.weight, math.inf)
        scaler.step(optimizer)
        scaler.update()
    assert watched.what == ["gradient"]


def test_sparse_gradients(watched: Watched) -> None:
    table = nn.Embedding(5, 2, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    table(torch.tensor([1, 1])).sum().backward()
    optimizer.step()
    assert watched.what == []


def test_a_checkpoint_is_looked_at_before_it_is_written(watched: Watched, tmp_path: Path) -> None:
    model, optimizer = model_and_optimizer()
    for _ in range(2 * WARM_UP):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    plan = watched.sentinel._plans[id(optimizer)]
    plan.gradients.left = plan.after.left = 1000  # steps that nobody looks at
    model.weight.grad = torch.full_like(model.weight, math.nan)
    optimizer.step()
    assert watched.what == [] and watched.sentinel.unseen is not None
    torch.save(model.state_dict(), tmp_path / "model.pt")
    assert watched.what == ["parameter"] and watched.seen[0].step == watched.sentinel.steps - 1


def test_a_jump_of_the_loss_makes_the_next_steps_all_looked_at(watched: Watched) -> None:
    model, optimizer = model_and_optimizer()
    sentinel = watched.sentinel

    def step(size: float) -> None:
        optimizer.zero_grad()
        (model(torch.ones(1, 3)).sum() * 0 + size).backward()
        optimizer.step()

    for _ in range(6 * URGENT):
        step(1.0)
    plan = sentinel._plans[id(optimizer)]
    plan.gradients.every = plan.gradients.left = 1000
    looked = len(sentinel.history.grad_norms)
    step(1.0)
    assert len(sentinel.history.grad_norms) == looked
    for _ in range(URGENT):
        step(100.0)
    assert len(sentinel.history.grad_norms) == looked + URGENT


def test_hooks_leave_nothing_behind() -> None:
    backward, init, scale = torch.autograd.backward, torch.optim.Optimizer.__init__, torch.amp.GradScaler.scale
    Watched().hooks.remove()
    assert (torch.autograd.backward, torch.optim.Optimizer.__init__, torch.amp.GradScaler.scale) == (
        backward,
        init,
        scale,
    )
    assert not torch.nn.modules.module._global_forward_hooks
