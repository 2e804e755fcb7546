"""The path as a graph: growth before the birth, the way to the symptom, what absorbed."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from replay.observing import find
from whynan.case.facts import PathStep
from whynan.replay import story as stories
from whynan.replay.story import MOST, joined, path_from, story


def _sound(path):
    for i, step in enumerate(path):
        assert all(0 <= j < i for j in step.inputs) and list(step.inputs) == sorted(set(step.inputs))
        assert step.nonfinite <= step.total and step.op.startswith("aten::")
        assert (step.min is None) == (step.max is None) and (step.min is None or step.min <= step.max)


def test_a_chain_of_growth_birth_and_carrying():
    def step():
        x = torch.full((2,), 10.0)
        for _ in range(6):
            x = x * x
        return (x - 1.0).sum()

    path = path_from(*find(step))
    _sound(path)
    assert [s.state for s in path] == ["finite"] * 5 + ["born", "carried", "carried"]
    assert [s.inputs for s in path] == [(), *((i,) for i in range(7))]
    born = path[5]
    assert (born.shape, born.dtype, born.nonfinite, born.total) == ((2,), "float32", 2, 2)
    assert born.expression == "x * x" and born.source.strip() == "x = x * x" and born.phase == "forward"
    assert (path[0].min, path[0].max, path[4].absmax) == (100.0, 100.0, pytest.approx(1e32))


def test_both_operands_are_told():
    def step():
        above, below = torch.rand(4) + 1, torch.rand(4)
        return (above.exp() / (below - below)).sum()

    path = path_from(*find(step))
    _sound(path)
    born = next(s for s in path if s.state == "born")
    assert {path[i].op for i in born.inputs} == {"aten::exp", "aten::sub"}


def test_growth_begins_where_the_numbers_were_ordinary():
    def step():
        x = torch.ones(3)
        for _ in range(30):
            x = x + 0.0  # ordinary
        for _ in range(9):
            x = x * 1e4
        return x.pow(3).sum()

    path = path_from(*find(step))
    sizes = [s.absmax for s in path if s.state == "finite"]
    assert len(sizes) == 10 and sizes[0] == 1.0 and sizes == sorted(sizes)


def test_of_a_long_growth_the_beginning_is_kept():
    def step():
        x = torch.ones(3)
        for _ in range(90):
            x = x * 3.0
        return x.sum()

    path = path_from(*find(step))
    _sound(path)
    before = [s for s in path if s.state == "finite"]
    assert len(before) == stories.BEFORE and before[0].absmax == 1.0 and all(s.inputs for s in path[1:])


def test_a_birth_in_backward_reads_its_forward_op():
    weight = torch.zeros(3, requires_grad=True)

    def step():
        (torch.ones(3) * weight).sqrt().sum().backward()
        return weight.grad

    path = path_from(*find(step))
    _sound(path)
    born = next(i for i, s in enumerate(path) if s.state == "born")
    forward = next(i for i, s in enumerate(path) if s.op == "aten::sqrt")
    assert path[born].phase == "backward" and path[forward].phase == "forward" and forward in path[born].inputs
    assert path[-1].state == "carried"


def test_absorption_is_told_beside_the_way():
    x = torch.tensor([0.0, 1.0], requires_grad=True)

    def step():
        y = torch.where(x > 0, x.log(), torch.zeros(2))  # -inf is not chosen
        (y.sum() * 2).backward()
        return x.grad

    finding, trace = find(step)
    path = path_from(finding, trace)
    _sound(path)
    assert finding.birth.phase == "backward"
    last = [s for s in path if s.state in ("born", "placed")][-1]
    assert (last.op, last.phase) == (finding.birth.op, "backward")

    def forward():
        grown = torch.full((2,), 1e30) ** 2
        kept = grown.clamp(max=5.0)
        return grown.sum() + kept.sum()

    path = path_from(*find(forward))
    assert [s.op for s in path if s.state == "absorbed"] == ["aten::clamp"]
    absorbed = next(s for s in path if s.state == "absorbed")
    assert [path[i].state for i in absorbed.inputs] == ["born"] and absorbed.nonfinite == 0


def test_placed_infinities_are_followed_to_where_they_were_placed():
    def step():
        mask = torch.ones(2, 3, dtype=torch.bool)
        scores = torch.randn(2, 3).masked_fill(mask, -math.inf)
        return torch.softmax(scores * 0.5, -1).sum()

    path = path_from(*find(step))
    assert [(s.op, s.state) for s in path if s.state in ("placed", "born")] == [
        ("aten::masked_fill", "placed"),
        ("aten::_softmax", "born"),
    ]


@settings(deadline=None, max_examples=12)
@given(depth=st.integers(1, 120), growth=st.integers(0, 60), most=st.integers(30, MOST))
def test_long_stories_are_thinned_and_stay_connected(depth, growth, most):
    class Layer(nn.Identity):
        def forward(self, x):
            return x * 1.0

    layers = nn.ModuleList(Layer() for _ in range(depth))

    def step():
        x = torch.ones(2)
        for _ in range(growth):
            x = x * 1.5
        x = (x - x).log()
        for layer in layers:
            x = layer(x)
        return x.sum()

    finding, trace = find(step, {"": layers})
    path = story(finding, trace, most)
    _sound(path)
    assert len(path) <= most and path[-1].op == "aten::sum"
    born = next(i for i, s in enumerate(path) if s.state == "born")
    assert all(s.inputs for s in path[born:])  # nobody lost its predecessor
    assert len({s.module for s in path}) >= min(depth, 10)


def test_of_a_step_with_a_huge_way_not_everything_is_counted(monkeypatch):
    monkeypatch.setattr(stories, "PATIENCE", -1.0)
    path = path_from(*find(lambda: torch.zeros(3).log().exp().log().sum()))
    assert path and all(s.min is None for s in path if s.state == "born")


def test_a_mistake_costs_the_path_and_not_the_report(monkeypatch):
    finding, trace = find(lambda: torch.zeros(3).log().sum())
    monkeypatch.setattr(stories, "story", lambda *args: 1 / 0)
    assert path_from(finding, trace) == ()
    assert finding.notes == ["the path could not be made (ZeroDivisionError: division by zero)"]


def test_two_stories_in_a_row():
    one, two = PathStep(op="a", state="born"), PathStep(op="b", state="carried", inputs=(0,))
    path = joined((one, two), (PathStep(op="c", state="carried"), two))
    assert [s.inputs for s in path] == [(), (0,), (1,), (2,)] and joined((), (one,)) == (one,)
