"""A recorded op evaluated again."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from replay.observing import observe
from whynan.replay.reevaluate import NotRepeatable, reevaluate


def test_reevaluate_in_double_precision():
    trace, _ = observe(lambda: torch.full((2,), 100.0).exp())
    record = next(r for r in trace.records if r.plan.base == "exp")
    (again,) = reevaluate(record)
    assert again.dtype is torch.float64 and bool(torch.isfinite(again).all())
    (same,) = reevaluate(record, None)
    assert bool(torch.isinf(same).all())


def test_reevaluate_leaves_the_values_alone():
    trace, result = observe(lambda: torch.ones(2).mul_(3e38).mul_(2))
    record = trace.records[-1]
    (again,) = reevaluate(record)
    assert again.tolist() == [torch.tensor(3e38).item() * 2] * 2
    assert bool(torch.isinf(result).all())


def test_reevaluate_draws_no_random_numbers():
    trace, _ = observe(lambda: F.dropout(torch.ones(4)))
    record = next(r for r in trace.records if r.plan.random)
    state = torch.get_rng_state()
    with pytest.raises(NotRepeatable):
        reevaluate(record)
    assert torch.equal(state, torch.get_rng_state())
