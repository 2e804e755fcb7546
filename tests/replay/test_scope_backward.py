"""Births met in the backward pass, put at the forward expression whose derivative they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from replay.observing import find, line
from whynan.replay.births import birth_from
from whynan.replay.story import path_from


def test_where_trap_leads_back_to_the_forward_op():
    x = torch.tensor([4.0, -1.0], requires_grad=True)

    def step():
        y = torch.where(x > 0, x.sqrt(), torch.zeros(2))  # where trap
        y.sum().backward()
        return x.grad

    finding, _ = find(step)
    assert (finding.birth.op, finding.birth.phase) == ("aten::sqrt", "forward")
    assert finding.birth.site.expression == "x.sqrt()" and finding.birth.site.line == line("where trap")


def test_born_in_backward_is_put_at_the_forward_expression():
    class Root(nn.Module):
        def forward(self, x):
            return torch.sqrt((x * x).sum(1)) + 1.0  # norm by hand

    model = nn.Sequential(nn.Linear(2, 2, bias=False), Root())
    nn.init.zeros_(model[0].weight)

    def step():
        model(torch.ones(3, 2)).sum().backward()
        return model[0].weight.grad

    finding, trace = find(step, {"": model})
    birth = birth_from(
        finding, trace, 7, 8, names=lambda t: "0.weight" if t is model[0].weight.grad else None, batch_size=3
    )
    assert (birth.phase, birth.op, birth.autograd_node, birth.kind) == ("backward", "aten::div", "SqrtBackward0", "inf")
    assert (birth.line, birth.api, birth.module) == (line("norm by hand"), "torch.sqrt", "1")
    assert birth.expression == "torch.sqrt((x * x).sum(1))" and birth.rows == (0, 1, 2)
    assert birth.tensor == "0.weight" and (birth.step, birth.iteration) == (7, 8)
    assert [f.name for f in birth.inputs] == ["self", "other"] and birth.outputs[0].posinf == 3
    states = [s.state for s in path_from(finding, trace)]
    assert states.count("born") == 1 and states[-1] == "carried"


def test_gradient_taken_inside_the_forward():
    x = torch.zeros(3, requires_grad=True)

    def step():
        y = x.sqrt().sum()  # inner
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        return slope.sum()

    finding, _ = find(step)
    assert finding.birth.phase == "backward" and finding.birth.site.line == line("inner")


def test_second_derivative_is_put_at_the_first_forward_op():
    x = torch.zeros(3, requires_grad=True)

    def step():
        y = (x**1.5).sum()  # twice
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        slope.sum().backward()
        return x.grad

    finding, _ = find(step)
    assert finding.birth.phase == "backward" and finding.birth.site.line == line("twice")


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_forward(reentrant):
    x = torch.zeros(3, requires_grad=True)

    def block(v):
        return v.sqrt() * 2  # checkpointed

    def step():
        y = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=reentrant)
        y.sum().backward()
        return x.grad

    finding, trace = find(step)
    assert finding.birth.site.line == line("checkpointed")
    assert (finding.birth.phase, finding.birth.node) == ("backward", "SqrtBackward0")
    again = [r for r in trace.records if r.plan.base == "sqrt"]
    assert [r.phase for r in again] == ["forward", "forward"], "recomputation is forward work"


def test_custom_function_is_put_at_its_own_backward_line():
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad / x  # own backward

    x = torch.zeros(2, requires_grad=True)

    def step():
        Bad.apply(x).sum().backward()
        return x.grad

    finding, _ = find(step)
    assert finding.birth.site.line == line("own backward") and finding.birth.phase == "backward"
