import math

from hypothesis import given
from hypothesis import strategies as st

from whynan.guard.journal import Journal
from whynan.guard.policies.clip import FIRST, WINDOW, Clip, limit_of
from whynan.guard.policy import Update
from whynan.guard.settings import Settings

NORMS = st.lists(st.floats(1e-6, 1e6), min_size=FIRST, max_size=2 * WINDOW)


@given(NORMS)
def test_the_limit_lies_within_what_was_seen(past: list[float]) -> None:
    limit = limit_of("percentile:95", past)
    known = past[-WINDOW:]
    assert limit is not None and min(known) <= limit <= max(known)
    assert sum(n <= limit for n in known) >= 0.9 * len(known)


@given(NORMS)
def test_a_higher_score_lets_more_through(past: list[float]) -> None:
    low, high = limit_of("zscore:1", past), limit_of("zscore:4", past)
    assert low is not None and high is not None and low < high


def test_nothing_is_known_in_the_beginning() -> None:
    assert limit_of("percentile:95", [1.0] * (FIRST - 1)) is None
    assert limit_of("zscore:3", [1.0] * (FIRST - 1)) is None
    assert limit_of("norm:2", []) == 2.0


def updated(norm: float, past: list[float]) -> float:
    update = Update(0, None, norm, past=past)
    Clip(Settings(clip="percentile:50"), Journal(1, 1)).update(update)
    return update.factor


def test_factor() -> None:
    past = [float(n) for n in range(1, 101)]
    assert updated(10.0, past) == 1.0
    assert math.isclose(updated(1000.0, past) * 1000.0, 51.0)
    assert updated(math.nan, past) == 1.0  # not clipping's business
