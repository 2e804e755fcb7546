"""Small functions that go non-finite, and what local evidence alone calls them."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from diagnose.inquests import causes_of, first, gradient_of, inquest_of
from whynan.diagnose import assess_only

INF = math.inf


def t(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)


FORWARD = {
    "exp-overflow": lambda: torch.exp(t(1.0, 90.0)),
    "log-of-zero": lambda: torch.log10(t(0.0, 1.0)),
    "log-of-underflow": lambda: torch.log(torch.softmax(t(0.0, 120.0), 0)),
    "domain-error": lambda: t(0.2, -0.04) ** 1.1,
    "division-by-zero": lambda: t(1.0, 2.0) / (t(3.0, 4.0) - t(3.0, 1.0)),
    "empty-count": lambda: (t(1.0, 2.0) * (t(0.5, 0.6) > 1)).sum() / (t(0.5, 0.6) > 1).float().sum(),
    "empty-reduction": lambda: t(1.0)[t(0.0) > 1].mean(),
    "std-of-one-element": lambda: t(0.7).std() + 1e-8,
    "all-targets-ignored": lambda: F.cross_entropy(torch.zeros(3, 2), torch.full((3,), -100)),
    "fully-masked-softmax": lambda: torch.softmax(torch.zeros(1, 3).masked_fill(torch.ones(1, 3) > 0, -INF), -1),
    "ill-conditioned-linalg": lambda: torch.linalg.inv_ex(torch.ones(2, 2))[0],
    "low-precision-overflow": lambda: t(300.0, dtype=torch.float16) * t(300.0, dtype=torch.float16),
    "low-precision-underflow": lambda: torch.log(torch.zeros(1, dtype=torch.float16) + 1e-8),
    "arithmetic-overflow": lambda: t(1e25) * t(1e25),
    "indexing-or-padding": lambda: F.ctc_loss(
        torch.randn(2, 1, 3).log_softmax(-1), torch.tensor([[1, 1, 2]]), torch.tensor([2]), torch.tensor([3])
    ),
    "uninitialized-memory": lambda: _unwritten(),
    "leftover-fill": lambda: _empty_cell() @ t(1.0, -1.0).expand(2, 2).T,
}


def _empty_cell():
    """Three points fall into the first of two cells; the maximum over the second is that of nothing."""
    cells = torch.full((2, 2), -INF)
    return cells.scatter_reduce(0, torch.zeros(3, 2, dtype=torch.long), torch.rand(3, 2), "amax")


def _unwritten():
    memory = torch.empty(4)
    memory.numpy()[:] = math.nan  # what a process may find there; no op wrote it
    return memory * 2


@pytest.mark.parametrize("name", FORWARD)
def test_forward(name):
    assert first(FORWARD[name]) == name


BACKWARD = {
    "singular-gradient": gradient_of(lambda x: x.sqrt(), [0.0, 1.0]),
    "where-trap": gradient_of(lambda x: torch.where(x > 0, torch.sqrt(x), 0.0), [0.0, 4.0]),
    "norm-at-zero": gradient_of(lambda x: (x * x).sum().sqrt(), [0.0, 0.0]),
    "derivative-overflow": gradient_of(lambda b: torch.full((1,), 0.03) / b, [2.7e-23]),
    "ill-conditioned-linalg": gradient_of(lambda a: torch.linalg.svd(a)[0][0, 1:], [[1.0, 0.0], [0.0, 1.0]]),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_backward(name):
    assert first(BACKWARD[name]) == name


class Sinc(torch.autograd.Function):
    """Safe at 0 in the forward pass only."""

    @staticmethod
    def forward(ctx, x):
        y = torch.where(x == 0, 1.0, torch.sin(x) / x)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        return grad * (torch.cos(x) - y) / x


def test_a_backward_of_the_users_own_is_judged_by_its_ops():
    assert first(gradient_of(Sinc.apply, [0.0, 1.0])) == "division-by-zero"


def test_one_over_zero_is_no_zero_over_zero():
    assert "a division by 0 in 1 of 2" in causes_of(lambda: 1.0 / t(0.0, 2.0))[0].summary


def test_a_true_zero_is_no_underflow():
    """Many products lead to it, and it is 0 in float64 as well."""
    p = t(0.0, 0.5)
    assert first(lambda: torch.log(p * t(0.5, 0.5) * t(0.3, 0.3) * t(0.2, 0.2))) == "log-of-zero"


def test_a_product_of_many_probabilities_is_not_blamed_on_the_softmax():
    def likelihood():
        p = torch.softmax(torch.zeros(4), 0)
        for _ in range(6):
            p = p * 1e-8
        return torch.log(p)

    summary = causes_of(likelihood)[0].summary
    assert "a product of many small numbers" in summary and "in float64 it is 2.5e-49" in summary


def test_exploding_gradient_through_time():
    w = 1.6 * torch.eye(4)

    def step():
        h = torch.zeros(1, 4, requires_grad=True)
        state = h
        for _ in range(240):
            state = torch.tanh(state @ w)
        state.sum().backward()
        return h.grad

    causes = causes_of(step)
    assert causes[0].name == "exploding-gradients"
    assert "1.6 times per repetition" in causes[0].summary


def test_rounding_out_of_the_domain_is_told_from_a_negative_number():
    def angle(factor):
        unit = t(1.0, 2.0, 11.0) / t(1.0, 2.0, 11.0).norm()
        return torch.acos((unit * unit * factor).sum())

    rounding, negative = first(lambda: angle(1.0)), first(lambda: angle(1.5))
    assert (rounding, negative) == ("rounding-out-of-domain", "domain-error")


def test_a_scaled_loss_in_half_precision():
    causes = causes_of(lambda: t(1.5, dtype=torch.float16).sum() * 65536.0)
    assert causes[0].class_ == "loss-scaling-misuse"


def test_summaries_carry_the_numbers():
    summary = causes_of(FORWARD["exp-overflow"])[0].summary
    assert "90" in summary and "1 of 2" in summary


def _optimizer_inquest(make, gradient, dtype=torch.float32, change=None):
    parameter = nn.Parameter(torch.ones(2, dtype=dtype))
    optimizer = make([parameter])
    if change:
        optimizer.param_groups[0].update(change)
    parameter.grad = torch.tensor(gradient, dtype=dtype)

    def step():
        optimizer.step()
        return parameter

    inquest = inquest_of(step, phase="optimizer")

    class Snapshot:
        optimizers = [optimizer]
        modules: list[nn.Module] = []
        entries: dict[int, object] = {}
        locals: dict[str, object] = {}

    inquest.snapshot = Snapshot()  # type: ignore[assignment]
    return inquest


@pytest.mark.parametrize(
    ("name", "make", "gradient", "dtype", "change"),
    [
        ("optimizer-eps-zero", lambda p: torch.optim.Adam(p, eps=0.0), [1.0, 0.0], torch.float32, None),
        ("optimizer-eps-in-half", torch.optim.Adam, [0.0, 0.0], torch.float16, None),
        ("optimizer-betas", torch.optim.Adam, [0.0, 1.0], torch.float32, {"betas": (0.9, 1.0)}),
        ("schedule-nonfinite", torch.optim.SGD, [1.0, 1.0], torch.float32, {"lr": math.nan}),
        ("schedule-nonfinite", torch.optim.AdamW, [1.0, 1.0], torch.float32, {"lr": math.inf}),
        ("arithmetic-overflow", torch.optim.Adam, [1e25, 1.0], torch.float32, None),
    ],
)
def test_optimizers(name, make, gradient, dtype, change):
    if name == "arithmetic-overflow":
        parameter = nn.Parameter(torch.ones(2))
        optimizer = make([parameter])
        parameter.grad = torch.tensor(gradient)

        def step():
            optimizer.step()
            return optimizer.state[parameter]["exp_avg_sq"]

        assert first(step, phase="optimizer") == name
        return
    assert assess_only(_optimizer_inquest(make, gradient, dtype, change)).causes[0].name == name


def test_without_anything_there_is_still_an_answer():
    from whynan.diagnose import Inquest

    diagnosis = assess_only(Inquest())
    assert diagnosis.causes[0].class_ == "other"
    assert diagnosis.causes[0].level == "guess"
