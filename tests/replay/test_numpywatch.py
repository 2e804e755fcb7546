"""numpy's floating-point errors, by the very operator; what the program sets is as before afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from whynan.replay.numpywatch import NumpyWatch

NAN = torch.tensor([float("nan")])


@pytest.fixture
def watch() -> NumpyWatch:
    return NumpyWatch(lambda file: file == __file__, lambda: "data")


def test_the_operator_is_named(watch: NumpyWatch) -> None:
    x, count = np.zeros(3), np.zeros(3)
    with watch.on():
        x / np.sqrt(count)
    birth = watch.culprit([NAN])
    assert birth is not None and birth.phase == "data" and birth.api == "numpy"
    assert birth.expression == "x / np.sqrt(count)"


def test_settings_return_and_what_was_seen_is_forgotten(watch: NumpyWatch) -> None:
    before, errstate = np.geterr(), np.errstate
    with watch.on(), np.errstate(invalid="ignore"):
        np.zeros(1) / np.zeros(1)
    assert np.geterr() == before and np.errstate is errstate and watch.events
    with watch.on():
        pass
    assert watch.culprit([NAN]) is None


def test_a_program_that_wants_errors_raised_gets_them(watch: NumpyWatch) -> None:
    with watch.on(), np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        np.zeros(1) / np.zeros(1)
    with np.errstate(invalid="raise"), watch.on(), pytest.raises(FloatingPointError):
        np.zeros(1) / np.zeros(1)
