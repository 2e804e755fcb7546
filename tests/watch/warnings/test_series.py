import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whynan.watch.warnings.series import Series


def series(values: list[float]) -> Series:
    made = Series()
    for step, value in enumerate(values):
        made.add(step, value)
    return made


@given(st.lists(st.floats(0.5, 2.0), min_size=10, max_size=100))
def test_what_is_not_finite_leaves_no_trace(values: list[float]) -> None:
    plain = series(values)
    spoilt = Series()
    for step, value in enumerate(values):
        for bad in (math.nan, math.inf, -math.inf, 0.0, -1.0):
            assert not spoilt.add(step, bad)
        spoilt.add(step, value)
    assert plain.points == spoilt.points and plain.z(50.0) == spoilt.z(50.0) and plain.highest == spoilt.highest


def test_one_outlier_hardly_moves_the_score() -> None:
    calm = [1.0 + 0.1 * (i % 5) for i in range(40)]
    assert series([*calm, 1e30]).z(100.0) == pytest.approx(series(calm).z(100.0), rel=0.2)


def test_growth_is_extrapolated() -> None:
    made = series([10.0**k for k in range(8)])
    assert made.rate(4) == pytest.approx(math.log(10))
    assert made.steps_to(1e12, 4) == pytest.approx(5.0)
    assert made.steps_to(1.0, 4) == 0.0


def test_no_growth_without_end() -> None:
    assert series([1.0, 2.0, 1.5, 3.0]).steps_to(1e9, 4) == math.inf
    assert series([1.0, 2.0]).rate(4) == 0.0
