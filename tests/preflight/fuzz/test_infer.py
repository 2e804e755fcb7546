"""What a function takes is found out by trying, and where that fails the message says what was tried."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from preflight.fuzz.searching import plans_of
from whynan.errors import UsageError
from whynan.preflight.fuzz.fills import fitted, typical
from whynan.preflight.fuzz.plans import Domain, Plan, Slot


def _kinds(function, **specs):
    return [[s.kind for s in plan.slots] for plan in plans_of(function, **specs)]


def test_class_numbers() -> None:
    def picked(a, b):
        return torch.log_softmax(a, -1)[torch.arange(len(a)), b].mean()

    (plan,) = plans_of(picked)
    assert [s.kind for s in plan.slots] == ["float", "int"]
    assert (plan.slots[1].domain.low, plan.slots[1].domain.high) == (0, 3)


def test_a_target_is_tried_as_probabilities_and_as_classes() -> None:
    assert _kinds(lambda logits, target: F.cross_entropy(logits, target)) == [["float", "float"], ["float", "int"]]


def test_masks() -> None:
    assert _kinds(lambda x, chosen: x[chosen].sum() + (x * ~chosen).sum()) == [["float", "bool"]]


def test_matrices() -> None:
    (plan,) = plans_of(lambda a: torch.linalg.slogdet(a)[1])
    assert plan.shape(plan.slots[0]) == (3, 3)


def test_layers_say_their_width() -> None:
    (plan,) = plans_of(nn.Sequential(nn.Linear(7, 3), nn.ReLU()))
    assert plan.shape(plan.slots[0])[-1] == 7
    (plan,) = plans_of(nn.Conv2d(5, 2, 3))
    assert plan.shape(plan.slots[0])[1] == 5


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (torch.exp, "real"),
        (lambda x: torch.sqrt(x), "not negative"),
        (lambda x: torch.log(x / (1 - x)), "unit interval"),
        (lambda x: torch.acos(x), "[-1, 1]"),
        (lambda x: torch.acosh(x), "at least 1"),
        (lambda x: torch.where(x > 0, torch.sqrt(x), x), "real"),
    ],
)
def test_ranges(function, name) -> None:
    def wrapped(x):
        return function(x)

    if name == "unit interval":
        (plan,) = plans_of(wrapped)
        assert (plan.slots[0].domain.low, plan.slots[0].domain.high) == (0, 1)
    else:
        assert plans_of(wrapped)[0].slots[0].domain.name == name


def test_what_is_said_binds() -> None:
    (plan,) = plans_of(lambda x: torch.sqrt(x), x="float[2,5] in [-3, 3]")
    assert plan.shape(plan.slots[0]) == (2, 5)
    assert (plan.slots[0].domain.low, plan.slots[0].stated) == (-3, True)


def test_refusals_say_what_was_tried() -> None:
    def stubborn(x):
        raise ValueError("never")

    with pytest.raises(UsageError) as caught:
        plans_of(stubborn)
    assert "never" in str(caught.value) and "--input" in str(caught.value) and "x=float[3,4]" in str(caught.value)
    with pytest.raises(UsageError, match="has no argument 'y'"):
        plans_of(lambda x: x, y="float[2]")


@pytest.mark.parametrize(
    "domain",
    [
        Domain("a", -2.0, 3.0),
        Domain("b", 0.0, 1.0, open_low=True, open_high=True),
        Domain("c", 0.1, 0.3),
        Domain("d", values=(0.0, 1.0), low=0.0, high=1.0),
        Domain("e", 0.0, 1.0, family="simplex"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_nothing_leaves_the_range(domain, dtype) -> None:
    wild = torch.tensor([[-1e30, -0.2, 0.0, 0.1], [0.29999, 0.3, 5.0, 1e30]], dtype=torch.float64)
    for value in (fitted(wild, domain, dtype), typical(Slot("x", "float", (2, 4), domain), Plan(()), dtype, _seeded())):
        exact = value.double()
        assert bool((exact >= domain.low).all()) and bool((exact <= domain.high).all())
        if domain.open_low:
            assert bool((exact > domain.low).all()) and bool((exact < domain.high).all())
        if domain.values:
            assert set(exact.unique().tolist()) <= set(domain.values)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
