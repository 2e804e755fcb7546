"""Each warning speaks of what it is for, and keeps quiet about what looks like it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from whynan.watch.warnings.base import Moment, Sign, load
from whynan.watch.warnings.looks import Look


def signs(kind: str, moments: list[Moment]) -> list[Sign]:
    warning = load()[kind]()
    return [sign for moment in moments for sign in warning.look(moment) if sign.message]


def gradients(norms: list[list[float]], **more: Any) -> list[Moment]:
    return [Moment(i, gradients=[(i, 0, n)], name=lambda key, at: f"layer{at}", **more) for i, n in enumerate(norms)]


def losses(values: list[float]) -> list[Moment]:
    return [Moment(i, losses=[(i, v)]) for i, v in enumerate(values)]


def test_growth_of_the_loss() -> None:
    (first, *_) = signs("growth", losses([1.0] * 10 + [30.0**k for k in range(1, 20)]))
    assert "the loss" in first.message and "overflows in about" in first.message


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 1.2, 0.9, 1.1] * 20,
        [1.0] * 20 + [1e15] + [1.0] * 20,  # a spike
        [1e6 * 0.5**k for k in range(60)],
        [1e-8] * 20 + [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-3, 1e-3] + [1e-3] * 9,  # comes to rest again
        [100.0] + [1e-3] * 30 + [1e-3 * 2.0**k for k in range(12)],  # never above where it began
        [math.nan, 1.0, math.inf] * 20,
    ],
)
def test_no_growth(values: list[float]) -> None:
    assert signs("growth", losses(values)) == []


def test_gradients_that_stand_out() -> None:
    usual = [[1.0 + 0.1 * (i % 3), 0.5] for i in range(20)]
    (first, *_) = signs("gradient-norm", gradients([*usual, [2.0, 30.0], [2.0, 60.0]]))
    assert first.name == "layer1" and "times what was usual, most of all that of layer1" in first.message


@pytest.mark.parametrize(
    "tail", [[[1.0, 40.0]], [[1.0, 40.0], [1.0, 0.5], [1.0, 40.0]], [[math.inf, 1.0], [math.nan, 1.0]]]
)
def test_single_gradients_are_noise(tail: list[list[float]]) -> None:
    usual = [[1.0 + 0.1 * (i % 3), 0.5] for i in range(20)]
    assert signs("gradient-norm", gradients([*usual, *tail])) == []


def test_near_a_minimum_gradients_may_jump() -> None:
    falling = [[10.0 * 0.7**i] for i in range(60)]
    assert signs("gradient-norm", gradients([*falling, [1e-3], [2e-3], [4e-3]])) == []


class SGD:
    """By its name."""


def test_update_ratio() -> None:
    growing = [Moment(i, gradients=[(i, 0, [2.0**i])], parameters=[(i, 0, [1.0])], rates={0: 1.0},
                      optimizer=lambda key: SGD()) for i in range(3)]  # fmt: skip
    assert signs("update-ratio", growing)
    assert not signs("update-ratio", growing[::-1])  # weights that began at zero


def looks(what: str, values: list[float], dtype: torch.dtype = torch.float32) -> list[Moment]:
    return [Moment(4 * i, looks=[Look(4 * i, what, "op", "train.py:3", dtype, v)]) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    "what, values, dtype",
    [
        ("exp", [5.0, 20.0, 35.0, 50.0], torch.float32),
        ("exp", [1.0, 2.0, 4.0], torch.float16),
        ("float16", [1e3, 4e3, 1.6e4, 6.0e4], torch.float16),
        ("float16", [2e4, 1.9e4, 2.6e4, 3.8e4], torch.float16),  # a dip
        ("softmax", [40.0, 60.0, 80.0], torch.float32),
    ],
)
def test_headroom(what: str, values: list[float], dtype: torch.dtype) -> None:
    (first, *_) = signs("headroom", looks(what, values, dtype))
    assert "train.py:3" in first.message and "at this rate in about" in first.message


@pytest.mark.parametrize(
    "what, values, dtype",
    [
        ("exp", [60.0, 60.0, 60.0, 60.0], torch.float32),  # large, but it stays
        ("exp", [1.0, 2.0, 3.0], torch.float32),  # far away
        ("exp", [5.0, 50.0, 20.0, 60.0], torch.float32),  # up and down
        ("softmax", [20.0, 30.0, 40.0], torch.float32),
        ("float16", [6e4, 5e4, 4e4], torch.float16),
        ("norm", [1.0, 1e3, 1e6], torch.float32),
    ],
)
def test_enough_headroom(what: str, values: list[float], dtype: torch.dtype) -> None:
    assert signs("headroom", looks(what, values, dtype)) == []


def test_absorbed_overflow() -> None:
    assert signs("absorbed-overflow", looks("norm", [1e18]))
    assert not signs("absorbed-overflow", looks("norm", [1e15]))


def test_loss_scale() -> None:
    assert not signs("loss-scale", [Moment(0, skips=n) for n in range(17)])
    assert signs("loss-scale", [Moment(0, skips=17)])


def dying(gradient: torch.Tensor, steps: int = 40) -> list[Sign]:
    p, q = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    p.grad, q.grad = gradient, torch.ones(2)
    optimizer = torch.optim.SGD([p, q], lr=0.1)
    moments = [Moment(i, gradients=[(i, 0, [1.0 if i < 6 else 0.0, 1.0])], optimizer=lambda key: optimizer,
                      name=lambda key, at: "fc1.weight") for i in range(steps)]  # fmt: skip
    return signs("dead-parameter", moments)


def test_dead_parameter() -> None:
    (sign,) = dying(torch.zeros(2))
    assert sign.name == "fc1.weight"
    assert dying(torch.full((2,), 1e-34)) == []  # the norm underflows, the gradient does not
    assert dying(torch.zeros(2), steps=20) == []


def adam(after: float) -> list[Sign]:
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.Adam([p], lr=1e-3, betas=(0.9, 0.999))
    found, warning = [], load()["adam-rms"]()
    for step in range(420):
        p.grad = torch.randn(4) * (after if step >= 400 else 1e-3)
        moment = Moment(step, gradients=[(step, 0, [float(p.grad.norm())])], optimizer=lambda key: optimizer)
        found += [s for s in warning.look(moment) if s.message]
        optimizer.step()
    return found


def test_adam_rms() -> None:
    assert adam(after=1.0)
    assert not adam(after=2e-3)
