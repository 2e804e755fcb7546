"""The notation for arguments: what it says, and what it answers to mistakes."""

from __future__ import annotations

import pytest

from whynan.errors import UsageError
from whynan.preflight.fuzz.inputs import Input, parse_option, parse_range
from whynan.preflight.fuzz.plans import domain_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("float32[2,3] in [-10, 10]", Input("float", "float32", (2, 3), -10.0, 10.0)),
        ("float[B,4]", Input("float", None, ("B", 4))),
        ("float", Input("float")),
        ("float[]", Input("float", None, ())),
        ("float[0..5,4]", Input("float", None, ((0, 5), 4))),
        ("int64[B] in [0, 3)", Input("int", "int64", ("B",), 0, 2)),
        ("long[2] in {-100, 0, 1}", Input("int", "int64", (2,), -100, 1, values=(-100, 0, 1))),
        ("half[3] in (0, 1] nograd", Input("float", "float16", (3,), 0, 1, open_low=True, grad=False)),
        ("float[B,4] in simplex", Input("float", None, ("B", 4), 0, 1, family="simplex")),
        ("bool[2,3]", Input("bool", "bool", (2, 3))),
        ("0.25", Input("constant", constant=0.25)),
        ("'mean'", Input("constant", constant="mean")),
        ("None", Input("constant", constant=None)),
    ],
)
def test_specifications(text, expected) -> None:
    assert Input.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("float33[2]", "'float33' is no dtype"),
        ("float[a-b]", "'a-b' is no size"),
        ("float[2] within [0,1]", "what is 'within [0,1]'"),
        ("float[2] in [1,0]", "is empty"),
        ("float[2] in (1,1)", "is empty"),
        ("float[2] in [0,x]", "'x' in [0,x] is no number"),
        ("float[2] in [0,nan]", "no bound"),
        ("float[2] in somewhere", "'somewhere' is no range"),
        ("float[2] in {}", "the set is empty"),
        ("int64[2] in (0,1)", "no whole number"),
        ("float[5..2]", "'5..2' is no size"),
        ("", "cannot be read"),
    ],
)
def test_mistakes_are_named(text, said) -> None:
    with pytest.raises(UsageError) as caught:
        Input.parse(text, "x")
    assert said in str(caught.value) and "x=" in str(caught.value)


def test_options() -> None:
    assert parse_option("x=float[2]") == ("x", Input("float", None, (2,)))
    assert parse_range("-1,2.5") == (-1.0, 2.5)
    for text in ("float[2]", "=float[2]", "a b=float"):
        with pytest.raises(UsageError, match="NAME="):
            parse_option(text)
    for text in ("1", "2,1", "a,b"):
        with pytest.raises(UsageError):
            parse_range(text)


def test_infinite_bounds_stay_finite() -> None:
    domain = domain_of(Input.parse("float[2] in [-inf, inf]"))
    assert domain is not None and -1.8e308 < domain.low < 0 < domain.high < 1.8e308
