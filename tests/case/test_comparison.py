"""Where two histories part, and what else differs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.reports import complete
from whynan.case.comparison import differences, partings
from whynan.case.facts import Report, Run

SERIES = st.lists(st.floats(width=32) | st.none(), max_size=6)


def history(values: list[float | None], start: int = 0) -> dict[str, list]:
    return {"step": list(range(start, start + len(values))), "loss": values}


@given(SERIES)
def test_a_run_is_the_same_as_itself(values: list[float | None]) -> None:
    assert all(p.bits is None and p.far is None for p in partings(history(values), history(values)))


@given(SERIES, SERIES)
def test_symmetric(a: list[float | None], b: list[float | None]) -> None:
    one, other = partings(history(a), history(b)), partings(history(b), history(a))
    assert [(p.bits or [None])[0] for p in one] == [(p.bits or [None])[0] for p in other]


@pytest.mark.parametrize(
    ("b", "bits", "far"),
    [
        ([1.0, 2.0, 3.0, math.nan], None, None),
        ([1.0, 2.000001, 3.0, math.nan], 1, None),
        ([1.0, 2.000001, 3.5, math.nan], 1, 2),
        ([1.0, 2.0, 3.0, math.inf], 3, 3),
        ([1.0, 2.0], None, None),
    ],
)
def test_where_they_part(b: list[float | None], bits: int | None, far: int | None) -> None:
    (found,) = partings(history([1.0, 2.0, 3.0, math.nan]), history(b))
    assert (found.bits[0] if found.bits else None, found.far[0] if found.far else None) == (bits, far)
    assert found.shared == len(b)


def test_steps_are_matched_not_positions() -> None:
    (found,) = partings(history([1.0, 2.0, 3.0]), history([2.0, 4.0], start=1))
    assert found.shared == 2 and found.bits == (2, 3.0, 4.0)


def test_several_entries_of_one_step() -> None:
    a = {"loss_step": [0, 0, 1], "loss": [1.0, 2.0, 3.0]}
    (found,) = partings(a, {"loss_step": [0, 0, 1], "loss": [1.0, 2.5, 3.0]})
    assert found.shared == 3 and found.bits == (0, 2.0, 2.5)


def test_the_earliest_comes_first() -> None:
    a = {"step": [0, 1], "loss": [1.0, 2.0], "grad_norm": [1.0, 2.0]}
    b = {"step": [0, 1], "loss": [1.0, 3.0], "grad_norm": [2.0, 2.0]}
    assert [p.name for p in partings(a, b)] == ["grad_norm", "loss"]


def test_what_else_differs() -> None:
    a = complete()
    assert differences(a, a) == []
    b = replace(a, run=replace(a.run, torch="2.99", environment={"threads": "64"}), causes=())
    found = {d.what: (d.a, d.b) for d in differences(a, b)}
    assert found["torch"] == (str(a.run.torch), "2.99")
    assert found["cause"] == (a.causes[0].class_, "none")
    assert found["threads"][1] == "64"


def test_a_healthy_run_and_a_failed_one() -> None:
    healthy = Report(verdict="healthy", run=Run(script="train.py"))
    found = {d.what: d.a for d in differences(healthy, complete())}
    assert found["verdict"] == "healthy" and found["birth"] == "none"
