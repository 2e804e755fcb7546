"""The changes themselves, without a loop: each does its one thing and can be undone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from whynan.diagnose import Inquest
from whynan.diagnose.counterfactuals.base import clip, load, with_options
from whynan.diagnose.counterfactuals.guard import FAMILIES, FunctionGuard, SoftmaxGuard
from whynan.diagnose.counterfactuals.items import changed
from whynan.diagnose.counterfactuals.precision import HALF, SINGLE, Widened, without_autocast

HERE = __file__


def guard(name, *functions_lines):
    names, guarded = FAMILIES[name]
    return FunctionGuard(frozenset(names.split()), guarded, frozenset((HERE, n) for n in range(1, 400)))


def test_experiments_say_what_they_change():
    for experiment in load().values():
        assert experiment.title.split()[0] in ("with", "in"), experiment.name


@pytest.mark.parametrize(
    ("family", "function", "values"),
    [
        ("log", torch.log, [0.0, 1.0]),
        ("log", lambda x: x.log10(), [0.0, 1.0]),
        ("sqrt", torch.sqrt, [-1.0, 0.0]),
        ("pow", lambda x: x**0.3, [0.0, 2.0]),
        ("div", lambda x: 1.0 / x, [0.0, 2.0]),
        ("div", lambda x: x / x, [0.0, 2.0]),
        ("exp", torch.exp, [1000.0, 1.0]),
        ("acos", torch.acos, [1.0, 2.0]),
        ("std", lambda x: x[:1].std(), [0.0, 1.0]),
        ("mean", lambda x: x[x > 5].mean(), [0.0, 1.0]),
        ("xlogy", lambda x: torch.xlogy(torch.zeros(2), x), [0.0, 1.0]),
    ],
)
def test_a_guard_cures_value_and_gradient(family, function, values):
    x = torch.tensor(values, requires_grad=True)
    with guard(family):
        y = function(x)
        y.sum().backward()
    assert torch.isfinite(y).all() and x.grad is not None and torch.isfinite(x.grad).all()


def test_a_guard_leaves_other_lines_and_other_functions_alone():
    names, guarded = FAMILIES["log"]
    with FunctionGuard(frozenset(names.split()), guarded, frozenset({(HERE, 1)})):
        assert torch.isinf(torch.log(torch.zeros(1)))
    with guard("sqrt"):
        assert torch.isinf(torch.log(torch.zeros(1)))


def test_masked_rows_become_uniform():
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    x, everything = torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    assert torch.isnan(attention(x, x, x, key_padding_mask=everything)[0]).all()
    with SoftmaxGuard():
        assert torch.isfinite(attention(x, x, x, key_padding_mask=everything)[0]).all()


def test_half_tensors_are_widened_wherever_they_come_from():
    x = torch.full((2,), 300.0, dtype=torch.float16)
    with Widened(HALF, torch.float32):
        assert (x * x).dtype is torch.float32 and torch.isfinite(x * x).all()
        assert torch.zeros(2, dtype=torch.float16).dtype is torch.float32
        assert x.half().dtype is torch.float32
    with Widened(SINGLE, torch.float64):
        assert nn.Linear(2, 1).double()(torch.ones(2)).dtype is torch.float64


def test_autocast_is_off_inside():
    with without_autocast(), torch.autocast("cpu", torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16


def test_clipping_survives_norms_that_overflow():
    p = nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([1e25, 1e25])
    clip([p])
    assert math.isclose(float(p.grad.norm()), 1.0, rel_tol=1e-5)


def test_options_are_changed_during_steps_only():
    p = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=1.0)

    class Snapshot:
        optimizers = [optimizer]
        modules: list[nn.Module] = []

    inquest = Inquest(snapshot=Snapshot())  # type: ignore[arg-type]
    p.grad = torch.ones(1)
    with with_options(inquest, lambda group: group.update(lr=0.1)):
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] == 1.0
    assert math.isclose(p.item(), -0.1, rel_tol=1e-6)
    optimizer.step()
    assert math.isclose(p.item(), -1.1, rel_tol=1e-6)


def test_nested_batches_are_copied_not_changed():
    batch = {"x": [torch.ones(2), torch.arange(3)], "y": (torch.zeros(1), "name")}
    other = changed(batch, "0", lambda place, tensor: tensor + 1)
    assert torch.equal(other["x"][0], torch.full((2,), 2.0)) and torch.equal(batch["x"][0], torch.ones(2))
    assert other["x"][1] is batch["x"][1] and other["y"][1] == "name"
