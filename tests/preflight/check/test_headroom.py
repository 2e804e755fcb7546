"""What half precision would do to each line of functional code: no module is needed for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from whynan.case.preflight import OpHeadroom, Preflight
from whynan.errors import UsageError
from whynan.preflight.check import check

ROWS = torch.tensor([[1.0], [2.0], [3.0]])


def weight(value: float = 1.0) -> Tensor:
    return torch.full((1, 1), value, requires_grad=True)


def looked_at(formula: Callable[[Tensor], Tensor], scale: float = 1.0) -> Preflight:
    """A model that is a function of a parameter, and `formula` of what it gives: 1, 2 and 3 times `scale`."""
    w = weight(scale)
    optimizer = torch.optim.SGD([w], lr=0.1)
    return check(lambda x: x @ w, (ROWS, torch.zeros(3, 1)), lambda out, y: formula(out).sum(), optimizer=optimizer)


def row(answer: Preflight, op: str, argument: str = "self") -> OpHeadroom:
    return next(o for o in answer.ops if o.op.startswith(f"aten::{op}") and o.argument == argument)


def test_an_exponential_says_how_far_below_its_overflow_it_is() -> None:
    found = row(looked_at(lambda x: torch.exp(x)), "exp")  # the line
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "# the line" in text)
    assert (found.file, found.line, found.expression, found.nearest) == (__file__, line, "torch.exp(x)", 3.0)
    assert found.float16.startswith("8.09 below 11.09") and found.bfloat16.startswith("85.7 below 88.72")
    assert found.room_float16 == pytest.approx((math.log(65504) - 3) / math.log(10))
    assert found.autocast and found.dtype == "float32"


@pytest.mark.parametrize(
    ("formula", "scale", "op", "argument", "told"),
    [
        (torch.exp, 5.0, "exp", "self", "beyond 11.09: exp overflows"),
        (torch.square, 100.0, "pow", "self", "beyond 255.9"),
        (lambda x: x * 1000, 30.0, "mul", "result", "overflows 6.55e+04"),
        (lambda x: x * 2, 15.5, "mul", "result", "704 times below 6.55e+04"),
        (torch.log, 1e-9, "log", "self", "rounds to 0: the logarithm of 0"),
        (lambda x: 1e-9 / x, 1e-9, "reciprocal", "self", "rounds to 0: division by 0"),
        (lambda x: torch.log(1 - 1e-5 * x), 1.0, "log", "self", None),
        (lambda x: torch.acos(1 - x), 1e-5, "acos", "self", "rounds to 1"),
        (lambda x: torch.sqrt(x * x + 1e-8), 1.0, "add", "1e-08", "rounds to 0: it guards nothing"),
        (lambda x: x * 1e-9, 1.0, "mul", "gradient", "all of it rounds to 0"),
    ],
)
def test_what_float16_would_lose(
    formula: Callable[[Tensor], Tensor], scale: float, op: str, argument: str, told: str | None
) -> None:
    found = row(looked_at(formula, scale), op, argument)
    if told is None:
        assert found.room_float16 > 2
    elif "times" in told:
        assert found.float16 == told and 0 < found.room_float16 < 3
    else:
        assert found.float16.startswith(told) and found.room_float16 == 0.0


def test_bfloat16_has_the_range_of_float32() -> None:
    answer = looked_at(lambda x: torch.log(torch.square(x) + 1e-8), 300.0)
    assert row(answer, "pow").room_float16 == 0 < row(answer, "pow").room_bfloat16
    assert row(answer, "add", "1e-08").bfloat16 == "fits"


def test_the_tightest_come_first_and_guards_have_no_row() -> None:
    answer = looked_at(lambda x: torch.log(x.clamp(min=1e-2)) + torch.exp(x) + torch.sqrt(x))
    rooms = [o.room_float16 for o in answer.ops]
    assert rooms == sorted(rooms) and not any(o.op == "aten::log" and o.argument == "self" for o in answer.ops)


def test_an_eps_that_is_0_in_the_dtype_of_the_step() -> None:
    def of(eps: float, dtype: torch.dtype) -> set[str]:
        w = torch.ones(1, 1, dtype=dtype, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        batch = (ROWS.to(dtype), torch.zeros(3, 1, dtype=dtype))
        answer = check(lambda x: x @ w, batch, lambda out, y: (out / (out.abs() + eps)).sum(), optimizer=optimizer)
        return {p.kind for p in answer.problems if p.severity != "note"}

    assert "eps-rounds-away" in of(1e-8, torch.float16)
    assert "eps-rounds-away" not in of(1e-4, torch.float16) | of(1e-8, torch.float32) | of(1e-8, torch.bfloat16)


def test_a_function_needs_the_optimizer_of_its_parameters() -> None:
    with pytest.raises(UsageError, match="a function and the optimizer"):
        check(lambda x: x, (ROWS, ROWS), torch.nn.functional.mse_loss)


def test_parameters_of_a_function_are_put_back() -> None:
    w = weight()
    w.grad = torch.ones(1, 1)
    check(lambda x: x @ w, (ROWS, ROWS), torch.nn.functional.mse_loss, optimizer=torch.optim.SGD([w], lr=0.1))
    assert w.item() == 1.0 and w.grad.item() == 1.0
