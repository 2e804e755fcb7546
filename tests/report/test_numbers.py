"""How numbers are printed."""

from __future__ import annotations

import math

import pytest

from whynan.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.4028234663852886e38, "3.4e+38"),
        (0.8812, "0.881"),
        (2.31, "2.31"),
        (0.0, "0"),
        (-0.0, "0"),
        (512.0, "512"),
        (-17, "-17"),
        (1234.5, "1234"),
        (123456.0, "1.2e+05"),
        (1e-8, "1e-08"),
        (1.0, "1"),
        (1.0000001, "1.0000001"),
        (-0.99999994, "-0.99999994"),
        (0.998, "0.998"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (None, "-"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert numbers.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04, "40 ms"), (3.21, "3.2 s"), (125.0, "2 min 5 s"), (3840.0, "1 h 4 min")],
)
def test_seconds(value: float, text: str) -> None:
    assert numbers.seconds(value) == text


def test_the_rest() -> None:
    assert numbers.count(12, 768) == "12 of 768"
    assert numbers.count(5, 1_000_000) == "5 of 1,000,000"
    assert numbers.share(0.05, 4.0) == "1.2 %"
    assert numbers.share(1, 0) == "-"
    assert numbers.kind((16, 50), "torch.float32") == "f32[16, 50]"
    assert numbers.kind((), "float8_e4m3fn") == "float8_e4m3fn"
    assert numbers.index((3, 0)) == "[3, 0]"
