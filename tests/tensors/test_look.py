"""Looking at tensors: exact counts, statistics over the finite elements, and no harm to odd kinds of tensors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whynan.tensors import look as module
from whynan.tensors.look import extremes, look, nonfinite, plain, where

NUMBERS = st.lists(st.floats(width=32), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(NUMBERS)
def test_agrees_with_numpy(numbers):
    facts, x = look(torch.tensor(numbers), "x"), np.array(numbers, dtype=np.float32).astype(np.float64)
    finite = x[np.isfinite(x)]
    assert (facts.nan, facts.posinf, facts.neginf) == (np.isnan(x).sum(), (x == np.inf).sum(), (x == -np.inf).sum())
    assert facts.nonfinite == facts.nan + facts.posinf + facts.neginf and facts.zeros == (x == 0).sum()
    if finite.size:
        assert (facts.min, facts.max, facts.absmax) == (finite.min(), finite.max(), np.abs(finite).max())
        assert facts.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-300)
        assert facts.std == pytest.approx(finite.std(), rel=1e-6, abs=1e-12 * np.abs(finite).max() + 1e-300)
    else:
        assert facts.min is None and facts.mean is None


def test_parts_join_to_the_whole(monkeypatch):
    x = torch.randn(1000) * 3 + 7
    whole = look(x)
    monkeypatch.setattr(module, "CHUNK", 64)
    parts = look(x)
    assert parts.mean == pytest.approx(whole.mean) and parts.std == pytest.approx(whole.std)
    assert (parts.min, parts.max, parts.zeros) == (whole.min, whole.max, whole.zeros)


def test_half_precision_is_summed_in_double():
    facts = look(torch.full((100,), 60000.0, dtype=torch.float16))
    assert facts.mean == 60000.0 and facts.std == 0.0 and facts.nonfinite == 0


def test_a_scalar_says_its_value():
    assert look(torch.tensor(2.5)).value == 2.5
    assert math.isnan(look(torch.tensor(math.nan)).value)
    assert look(torch.ones(2)).value is None


def test_smallest_nonzero():
    assert look(torch.tensor([0.0, -1e-3, 5.0])).smallest_nonzero == pytest.approx(1e-3)
    assert look(torch.zeros(3)).smallest_nonzero is None


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    facts = look(torch.tensor([0, 1, 1]).to(dtype), "t")
    assert (facts.name, facts.dtype, facts.max, facts.zeros, facts.nonfinite) == ("t", str(dtype)[6:], 1.0, 1, 0)


def test_float8_and_complex():
    eight = torch.tensor([1.0, math.inf]).to(torch.float8_e5m2)
    assert look(eight).posinf == 1 and nonfinite(eight).tolist() == [False, True]
    z = torch.tensor([complex(1, math.nan), complex(2, 3)])
    assert (look(z).nonfinite, look(z).numel, look(z).max) == (1, 2, 3.0)
    assert extremes(torch.view_as_complex(torch.tensor([[1.0, -4.0]])).conj()) == (1.0, 4.0)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.empty(0),
        torch.empty(3, device="meta"),
        torch.nn.parameter.UninitializedParameter(),
        torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    ],
    ids=["empty", "meta", "uninitialized", "quantized"],
)
def test_nothing_to_look_at(tensor):
    if isinstance(tensor, torch.nn.parameter.UninitializedParameter):
        assert plain(tensor) is None
        return
    facts = look(tensor, "x")
    assert facts.min is None and facts.nonfinite == 0 and facts.shape == tuple(tensor.shape)


def test_sparse_looks_at_the_values():
    sparse = torch.tensor([[0.0, math.nan], [2.0, 0.0]]).to_sparse()
    assert look(sparse).nan == 1 and look(sparse).max == 2.0
    assert look(sparse.to_dense().nan_to_num().to_sparse_csr()).max == 2.0


def test_fake_and_distributed_tensors():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        assert plain(torch.ones(3)) is None
    dtensor = pytest.importorskip("torch.distributed.tensor")
    assert hasattr(dtensor.DTensor, "__tensor_flatten__")


def test_looking_is_not_seen_and_records_no_graph():
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = []

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    x = torch.ones(3, requires_grad=True)
    state = torch.get_rng_state()
    with Mode(), torch.device("meta"):
        look(x)
    assert seen == [] and torch.equal(state, torch.get_rng_state())


def test_where_gives_indices_in_order():
    mask = torch.tensor([[False, True], [True, True]])
    assert (where(mask).count, where(mask).total, where(mask, 2).first) == (3, 4, ((0, 1), (1, 0)))
    assert where(torch.tensor(True)).first == ((),)
