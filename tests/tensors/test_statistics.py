"""The reference against numpy, and the kernel (in Triton's interpreter, on the CPU) against the reference."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from whynan.tensors.statistics import reference, statistics


def tensors() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    plain = [torch.randn(n, generator=generator) for n in (1, 7, 4096, 10_000)]
    spoilt = torch.randn(5000, generator=generator)
    spoilt[[3, 4500]] = torch.tensor([math.nan, -math.inf])
    zeros, huge = torch.zeros(9), torch.full((3,), 3e38)
    tiny = torch.tensor([0.0, 1e-40, -1e-45])
    low = [torch.randn(300, generator=generator).to(dtype) for dtype in (torch.bfloat16, torch.float16)]
    return [*plain, spoilt, zeros, huge, tiny, *low]


def by_numpy(tensor: Tensor) -> tuple[float, float, float, int]:
    x = np.abs(tensor.double().numpy())
    good = x[np.isfinite(x)]
    nonzero = good[good > 0]
    return (good**2).sum(), good.max(), nonzero.min() if nonzero.size else math.inf, int((~np.isfinite(x)).sum())


def test_reference_says_what_numpy_says() -> None:
    found = reference(tensors())
    for i, tensor in enumerate(tensors()):
        squares, *others = by_numpy(tensor)
        assert [float(row[i]) for row in found[1:]] == others
        assert float(found.squares[i]) == pytest.approx(squares, rel=1e-12)


def test_tensors_without_values_count_as_zeros() -> None:
    found = statistics([torch.arange(3), torch.zeros(0), torch.ones(2)])
    assert found.squares.tolist() == [0.0, 0.0, 2.0] and found.smallest.tolist() == [math.inf, math.inf, 1.0]


KERNEL = """
import sys
import torch
from test_statistics import tensors
from whynan.tensors.kernel import statistics
from whynan.tensors.statistics import reference
for kernel, truth in zip(statistics(tensors()), reference(tensors())):
    torch.testing.assert_close(kernel, truth, rtol=1e-12, atol=0)
print("equal")
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_kernel_in_the_interpreter() -> None:
    paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", KERNEL], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "equal", done.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_kernel_on_the_device() -> None:
    ours = [t.cuda() for t in tensors()]
    for kernel, truth in zip(statistics(ours), reference(ours), strict=True):
        torch.testing.assert_close(kernel, truth, rtol=1e-12, atol=0)
