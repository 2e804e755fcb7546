"""Strict JSON: only non-finite numbers are changed, and what comes out is JSON for everybody."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whynan.case import strict_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_finite_values_come_back_as_they_were(value: Any) -> None:
    assert strict_json.loads(strict_json.dumps(value)) == value
    assert strict_json.dumps(value) == json.dumps(value)


def test_non_finite_numbers_are_words() -> None:
    text = strict_json.dumps({"a": [math.nan, (math.inf, -math.inf)], "b": {"c": 1.5}})
    assert text == '{"a": ["nan", ["inf", "-inf"]], "b": {"c": 1.5}}'


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "{", ""])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        strict_json.loads(text)


def test_what_json_has_no_form_for_is_refused() -> None:
    with pytest.raises(TypeError):
        strict_json.dumps({1, 2})
