"""Every finite element is counted once, whatever the numbers look like."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whynan.tensors.histogram import BINS, histogram

FLOATS = st.lists(st.floats(width=64) | st.sampled_from([0.0, 1e-320, 1e308, -1e308, math.inf, math.nan]), max_size=40)


@given(FLOATS, st.booleans())
def test_all_finite_elements_are_counted(values, near_zero):
    tensor = torch.tensor(values, dtype=torch.float64)
    made = histogram(tensor, "x", near_zero)
    finite = [v for v in values if math.isfinite(v)]
    if made is None:
        assert not values
        return
    assert sum(made.counts) == len(finite) and made.nonfinite == len(values) - len(finite)
    assert made.zeros == finite.count(0.0)
    assert len(made.counts) == max(0, len(made.bounds) - 1) <= 2 * BINS
    assert list(made.bounds) == sorted(set(made.bounds)) and all(map(math.isfinite, made.bounds))
    assert not finite or made.bounds[0] <= min(finite) and max(finite) <= made.bounds[-1]
    assert made.axis != "log" or made.bounds[0] > 0
    for i, count in enumerate(made.counts):
        last = i == len(made.counts) - 1
        inside = [v for v in finite if made.bounds[i] <= v and (v < made.bounds[i + 1] or last)]
        assert count == len(inside)


def _axis(tensor, **options):
    return histogram(tensor, **options).axis


def test_the_axis_suits_the_numbers():
    torch.manual_seed(0)
    normal = torch.randn(10_000)
    assert _axis(normal) == "linear" and _axis(torch.rand(10_000)) == "linear"
    assert _axis(torch.exp(20 * normal)) == "log"
    assert _axis(-torch.exp(20 * normal)) == "symlog" and _axis(normal * torch.exp(20 * normal)) == "symlog"
    assert _axis(torch.cat([normal, torch.tensor([1e6])])) == "symlog"  # one outlier must not hide the others
    assert _axis(torch.rand(10_000), near_zero=True) == "log"
    assert _axis(torch.cat([torch.zeros(3), torch.rand(10_000)]), near_zero=True) == "symlog"
    assert _axis(torch.full((5,), 3.0)) == "linear"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.complex64])
def test_every_dtype(dtype):
    made = histogram(torch.arange(12).to(dtype))
    assert sum(made.counts) == (24 if dtype.is_complex else 12)


def test_nothing_to_count():
    assert histogram(torch.ones(3, device="meta")) is None and histogram(torch.ones(0)) is None
    assert histogram(torch.tensor([math.nan])).counts == () and histogram(torch.tensor([True])) is None


def test_it_leaves_no_trace():
    x = torch.randn(100, requires_grad=True)
    state = torch.get_rng_state()
    histogram(x * 2)
    assert torch.equal(state, torch.get_rng_state()) and x.grad is None
