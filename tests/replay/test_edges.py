"""Edges of ops against the conditions that were measured by execution: beyond one it fails, before it it does not."""

from __future__ import annotations

import math

import pytest
import torch

from replay.observing import find, observe
from replay.test_op_conditions import ROWS, _call, _inputs, _mine, _name
from whynan.replay.edges import edge, edges
from whynan.replay.histograms import histograms_of
from whynan.replay.scope import Scope

SLACK = 2e-3  # of the edge, or half a unit in the last place: 65504 is the largest float16, 65519 still rounds to it


def _trace(row, inputs):
    with Scope(is_user_file=_mine) as scope:
        output = _call(row)(*inputs)
        if row["direction"] == "backward":
            output.sum().backward()
    symptoms = [output] if row["direction"] == "forward" else [i.grad for i in inputs if i.grad is not None]
    findings = [f for f in map(scope.trace.births_reaching, symptoms) if f is not None and f.birth is not None]
    return scope.trace, findings[0] if findings else None


@pytest.mark.parametrize("row", [r for r in ROWS if r["direction"] in ("forward", "backward")], ids=_name)
def test_every_measured_birth_has_sound_histograms(row):
    inputs = list(_inputs(row))
    _, finding = _trace(row, inputs)
    if finding is None:
        return
    for made in histograms_of(finding):
        assert list(made.bounds) == sorted(set(made.bounds))
        if made.edge is not None and made.counts:
            slack = SLACK * abs(made.edge)
            reached = {
                "above": made.bounds[-1] >= made.edge - slack,
                "below": made.bounds[0] <= made.edge + slack,
                "at": True,
            }
            alone = sum(ref.area.floating for ref in finding.birth.origin.inputs) == 1
            assert reached[made.beyond] or alone and row["direction"] == "backward", made


SINGLE = [
    r
    for r in ROWS
    if r["direction"] == "forward" and r["near_miss_ok"] == "finite" and r["near_miss_finite_input"].startswith("[")
]


@pytest.mark.parametrize("row", SINGLE, ids=_name)
def test_a_near_miss_is_not_beyond_the_edge(row):
    near = {**row, "sample_inputs": row["near_miss_finite_input"]}
    try:
        inputs = list(_inputs(near))
        trace, _ = _trace(near, inputs)
    except (SyntaxError, ValueError, TypeError, RuntimeError, IndexError):
        pytest.skip("the near miss is given in words")
    for record in trace.records:
        for ref in record.inputs:
            if not ref.area.floating or ref.bad or record.bad or ref.shape.numel() == 0:
                continue
            for one in edges(record, ref):
                rounding = max(torch.finfo(out.dtype).eps for out in record.outputs if out.area.floating) / 2
                slack = max(SLACK, rounding) * abs(one.value)
                assert one.beyond != "above" or ref.max <= one.value + slack, (record, one)
                assert one.beyond != "below" or ref.min >= one.value - slack, (record, one)


def _only(step, **kinds):
    finding, _ = find(step)
    return {h.name: h for h in histograms_of(finding)}


@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 88.7228), (torch.float64, 709.7827), (torch.bfloat16, 88.7228)]
)
def test_exp_ends_at_the_logarithm_of_the_largest_number(dtype, limit):
    made = _only(lambda: torch.tensor([1.0, 800.0], dtype=dtype).exp().sum())["self"]
    assert made.edge == pytest.approx(limit, rel=1e-3) and made.beyond == "above"


@pytest.mark.parametrize(
    ("step", "name", "value", "beyond"),
    [
        (lambda: torch.log(torch.tensor([0.5, 0.0])).sum(), "self", 0.0, "below"),
        (lambda: torch.log1p(torch.tensor([0.5, -2.0])).sum(), "self", -1.0, "below"),
        (lambda: (torch.ones(3) / torch.tensor([1.0, 0.0, 2.0])).sum(), "other", 0.0, "at"),
        (lambda: torch.acos(torch.tensor([0.5, -1.5])).sum(), "self", -1.0, "below"),
        (lambda: torch.acos(torch.tensor([0.5, 1.5])).sum(), "self", 1.0, "above"),
        (lambda: torch.tensor([1.0, -1e5]).half().float().sum(), "self", -65504.0, "below"),
        (lambda: torch.tensor([2.0, -1e30]).pow(3).sum(), "self", -math.cbrt(torch.finfo().max), "below"),
        (lambda: (torch.tensor([2.0, 1e30]) * 1e10).sum(), "self", torch.finfo().max / 1e10, "above"),
        (lambda: (torch.tensor([-1.0, 4.0]) ** 0.5).sum(), "self", 0.0, "below"),
    ],
)  # fmt: skip
def test_the_edge_of_a_forward_birth(step, name, value, beyond):
    made = _only(step)[name]
    assert made.edge == pytest.approx(value, rel=1e-6) and made.beyond == beyond and made.edge_label


@pytest.mark.parametrize(
    ("function", "start", "value"),
    [
        (torch.sqrt, [0.0, 4.0], 0.0),
        (torch.acos, [0.0, 1.0], 1.0),
        (lambda x: x**0.5, [0.0, 4.0], 0.0),
        (lambda x: 1 / x, [1e-30, 4.0], 0.0),
        (torch.log, [1e-40, 4.0], 1 / torch.finfo().max),
    ],
)
def test_born_in_backward_the_forward_argument_has_the_edge(function, start, value):
    x = torch.tensor(start, requires_grad=True)

    def step():
        function(x).sum().backward()
        return x.grad

    finding, _ = find(step)
    made = histograms_of(finding)
    assert finding.birth.phase == "backward" and made[0].name.startswith(("self of aten::", "other of aten::"))
    assert made[0].edge == pytest.approx(value) and sum(made[0].counts) == made[0].zeros + sum(v != 0 for v in start)


def test_of_two_edges_the_crossed_one_is_told():
    trace, _ = observe(lambda: torch.acos(torch.zeros(2)))
    record = next(r for r in trace.records if r.plan.base == "acos")
    both = edges(record, record.inputs[0])
    assert edge(both, -0.5, 1.2).value == 1.0 and edge(both, -1.2, 0.5).value == -1.0
    assert edge((), 0.0, 1.0) is None


def test_a_foreach_op_tells_the_place_that_went_bad():
    good, bad = torch.ones(4), torch.tensor([1.0, 0.0, 2.0])

    def step():
        return torch._foreach_div([torch.ones(4), torch.ones(3)], [good, bad])[1].sum()

    finding, _ = find(step)
    assert [h.name for h in histograms_of(finding)] == ["other[1]", "self[1]"]
    assert histograms_of(finding)[0].edge == 0.0


def test_values_that_somebody_overwrote_are_those_the_op_saw():
    x = torch.tensor([0.0, 1.0, 2.0])

    def step():
        y = x.log()
        x.fill_(7.0)
        return y.sum()

    made = _only(step)["self"]
    assert made.bounds[0] == 0.0 and made.zeros == 1
