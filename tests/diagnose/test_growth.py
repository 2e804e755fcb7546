"""Growth across steps: even growth is told from a jump, and from noise."""

from __future__ import annotations

import math
import random

from whynan.diagnose import Inquest
from whynan.diagnose.measurements.growth import growth, is_geometric, series
from whynan.watch.history import History


def numbered(values):
    return list(enumerate(values))


def test_geometric_growth_is_measured_per_step():
    found = series("the loss", numbered([1.0] * 30 + [13.0**i for i in range(1, 12)]))
    assert found is not None and is_geometric(found)
    assert math.isclose(found.factor, 13.0, rel_tol=0.01)


def test_values_every_fifth_step_give_the_same_factor():
    found = series("the norm", [(5 * i, 2.0 ** (5 * i)) for i in range(12)])
    assert found is not None and math.isclose(found.factor, 2.0, rel_tol=0.01)


def test_slow_but_steady_growth_counts():
    found = series("the norm", numbered([1.08**i for i in range(60)]))
    assert found is not None and is_geometric(found)


def test_noise_and_a_last_jump_are_no_trend():
    random.seed(0)
    noise = [random.uniform(0.5, 2.0) for _ in range(100)]
    assert not is_geometric(series("the loss", numbered(noise)))  # type: ignore[arg-type]
    jump = series("the gradient norm", numbered([*noise, 7e3]))
    assert jump is not None and jump.jump > 1e3 and not is_geometric(jump)


def test_a_falling_loss_is_no_growth():
    assert not is_geometric(series("the loss", numbered([0.9**i for i in range(80)])))  # type: ignore[arg-type]


def test_non_finite_values_are_left_out_and_few_values_give_nothing():
    assert series("the loss", numbered([math.nan, math.inf, 1.0])) is None
    assert growth(Inquest()) is None
    empty = growth(Inquest(history=History()))
    assert empty is not None and (empty.loss, empty.grad, empty.param) == (None, None, None)
