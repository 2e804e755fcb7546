"""The screen has no false negative; the second look has no false alarm."""

import math

import pytest
import torch

from whynan.tensors.many import first_nonfinite, is_finite, local_values, norms

BAD = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64])
def test_every_bad_value_is_seen(value: float, dtype: torch.dtype) -> None:
    good, bad = torch.ones(5, dtype=dtype), torch.ones(5, dtype=dtype)
    bad[3] = value
    assert first_nonfinite([good, bad]) == 1
    assert not is_finite(bad) and is_finite(good)


@pytest.mark.parametrize("huge", [torch.full((100,), 1e20), torch.full((100,), 1e4, dtype=torch.float16)])
def test_overflow_of_the_norm_is_no_alarm(huge: torch.Tensor) -> None:
    assert first_nonfinite([huge]) is None


def test_what_cannot_be_read_is_left_alone() -> None:
    odd = [
        torch.arange(3),
        torch.zeros(0),
        torch.zeros(2, device="meta"),
        torch.ones(2, 2).to_sparse(),
        torch.tensor([True]),
        torch.ones(2).to(torch.float8_e5m2),
    ]
    assert len(norms(odd)) == len(odd)
    assert first_nonfinite(odd) is None


def test_sparse_values_are_read() -> None:
    sparse = torch.sparse_coo_tensor([[0, 1]], [1.0, math.nan], (3,))
    assert first_nonfinite([sparse]) == 0


def test_functorch_wrapped_tensors_are_not_touched() -> None:
    seen = []

    def f(x: torch.Tensor) -> torch.Tensor:
        seen.append(local_values(x))
        return x * 2

    torch.func.vmap(f)(torch.ones(3))
    assert seen == [None]
