"""The parts of a search: what steers it, what it leaves out, how it shrinks, how far it says one may go."""

from __future__ import annotations

import math

import pytest
import torch

from preflight.fuzz.searching import hunt_for, search
from whynan.preflight.fuzz.edges import edges, interesting
from whynan.preflight.fuzz.guards import listen


def test_edges_follow_from_the_dtype() -> None:
    assert edges(torch.float32).log_max == pytest.approx(88.7228391)
    assert edges(torch.float16).log_max == pytest.approx(11.0898, abs=1e-4)
    assert edges(torch.float64).log_subnormal == pytest.approx(-744.4400719)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        found = interesting(dtype, -1.0, 50.0)
        assert all(-1 <= v <= 50 and math.isfinite(v) for v in found)
        assert 0.0 in found and 50.0 in found and -1.0 in found


def test_arguments_of_guarded_ops_are_heard() -> None:
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    found = listen(lambda: torch.log(x) + 1 / (x - 1) + x**0.5 + torch.softmax(x, -1))
    assert [(c.name, c.edge.way, c.edge.value) for c in found if c.edge.way == "at"] == [
        ("log", "at", 0.0),
        ("__rdiv__", "at", 0.0),
        ("pow", "at", 0.0),
    ]


def gap_of_seven(x):
    return 1 / (x - 7.25)


def far_saturation(x):
    return torch.log(1 - torch.sigmoid(0.3 * x - 4))


def curved(x, y):
    return torch.sqrt((x - 1.5) ** 2 + (y + 2.25) ** 2)


@pytest.mark.parametrize("function", [gap_of_seven, far_saturation, curved])
def test_gradients_lead_to_edges_that_no_list_contains(function) -> None:
    hunt, plans = hunt_for(function)
    hunt.guided(plans[0], 0)
    assert hunt.failures


def masked(x):
    return x.masked_fill(x < 0, float("-inf"))


def smoothed(a, b):
    return (2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1)


def over_eps(a, b):
    return a / (b + 1e-8)


def one_plus_cos(x):
    return torch.log(1 + torch.cos(x))


def test_infinities_by_name_are_left_out() -> None:
    report = search(masked)
    assert not report.findings and any("by name" in r for r in report.remarks)


@pytest.mark.parametrize("function", [smoothed, over_eps])
def test_what_a_guard_takes_for_granted_is_a_remark(function) -> None:
    report = search(function)
    assert not report.findings
    assert any("taken to be positive" in r for r in report.remarks)


def test_a_stated_range_binds_guards_too() -> None:
    assert search(over_eps, inputs={"b": "float[3,4] in [-1,1]", "a": "float[3,4] in [-1,1]"}).findings


def test_a_sum_that_ordinary_numbers_keep_positive_is_no_guard() -> None:
    (finding,) = search(one_plus_cos).findings
    assert finding.expression == "torch.log(1 + torch.cos(x))"


def root_of_square_sums(a, b):
    return torch.sqrt(((a - b) ** 2).sum(-1))


def test_inputs_are_minimal_and_the_range_is_measured() -> None:
    (finding,) = search(root_of_square_sums).findings
    assert [a.literal for a in finding.inputs] == ["torch.tensor([[0.0]])", "torch.tensor([[0.0]])"]
    assert (finding.what, finding.node, finding.cause) == ("gradient", "SqrtBackward0", "singular-gradient")
    assert finding.safe == "fails at a[0, 0] = 0, safe at every other number tried"


def exponential(x):
    return torch.exp(x).sum()


def test_the_border_of_exp() -> None:
    (finding,) = search(exponential, inputs={"x": "float[1] in [-100,100]"}, fixes=False).findings
    assert finding.safe == "safe for x[0] < 88.72284"
    (finding,) = search(exponential, inputs={"x": "float[1] in [-100,100]"}, fixes=False, dtype="float16").findings
    assert finding.safe == "safe for x[0] < 11.09375"


def variance_by_moments(x):
    return (x * x).mean(-1) - x.mean(-1) ** 2


def variance(x):
    return x.var(-1, correction=0)


def test_lost_digits() -> None:
    options = {"inputs": {"x": "float[B,4] in [-1e4,1e4]"}, "fixes": False}
    (finding,) = search(variance_by_moments, **options).findings
    assert finding.what == "accuracy" and finding.line is not None
    assert search(variance, **options).findings == ()


def empty_mean(x):
    return x.mean()


def test_empty_only_where_allowed() -> None:
    assert search(empty_mean).findings == ()
    (finding,) = search(empty_mean, inputs={"x": "float[0..3]"}).findings
    assert finding.inputs[0].shape == (0,)


def test_the_seed_decides_and_nothing_else() -> None:
    before = torch.random.get_rng_state()
    reports = [search(exponential, seed=4, fixes=False) for _ in range(2)]
    assert reports[0].findings == reports[1].findings and reports[0].calls == reports[1].calls
    assert torch.equal(before, torch.random.get_rng_state())
