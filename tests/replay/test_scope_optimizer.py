"""Births in the optimizer, of torch and of the user."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from replay.observing import find, line, observe
from whynan.replay.births import birth_from


@pytest.mark.parametrize("foreach", [False, True])
def test_learning_rate_nan_is_born_in_the_optimizer(foreach):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), foreach=foreach)
    optimizer.param_groups[0]["lr"] = math.nan

    def step():
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()  # nan rate
        return model.weight

    finding, trace = find(step, {"": model})
    named = {id(p): n for n, p in model.named_parameters()}
    birth = birth_from(finding, trace, 0, 0, names=lambda t: named.get(id(t)))
    assert (birth.phase, birth.line, finding.state) == ("optimizer", line("nan rate"), "born")
    assert birth.op in ("aten::addcdiv_", "aten::_foreach_addcdiv_", "aten::_foreach_div_")
    assert birth.tensor == "weight" and "nan" in birth.note


@pytest.mark.parametrize("foreach", [False, True])
def test_half_adam_epsilon_rounds_to_zero(foreach):
    embed = nn.Embedding(4, 2).half()
    optimizer = torch.optim.Adam(embed.parameters(), foreach=foreach)

    def step():
        embed(torch.tensor([0, 1])).sum().backward()
        optimizer.step()
        return embed.weight

    finding, _ = find(step, {"": embed})
    assert finding.birth.plan.base in ("addcdiv_", "_foreach_addcdiv_") and finding.birth.phase == "optimizer"
    assert {i[0] for i in finding.elements.first} == {2, 3}


def test_fused_optimizer():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    optimizer.param_groups[0]["lr"] = math.nan

    def step():
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return model.weight

    finding, _ = find(step)
    assert finding.birth.op == "aten::_fused_adam_" and finding.birth.phase == "optimizer"


def test_a_closure_is_not_the_optimizer():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss

    trace, _ = observe(lambda: optimizer.step(closure))
    phases = {r.plan.base: r.phase for r in trace.records}
    assert phases["addmm"] == "forward" and phases["mm"] == "backward"
    assert "optimizer" in phases.values()


def test_own_optimizer_class():
    class Mine(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {})

        def step(self, closure=None):
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.add_(p.grad / p.grad.abs())  # own step

    weight = nn.Parameter(torch.ones(2))
    optimizer = Mine([weight])

    def step():
        (weight * torch.tensor([1.0, 0.0])).sum().backward()
        optimizer.step()
        return weight

    finding, _ = find(step)
    assert finding.birth.phase == "optimizer" and finding.birth.site.line == line("own step")
