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


COMPILE = """
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from whynan.tensors import kernel

def ptx(function, constants, **pointers):
    names = function.arg_names
    signature = {n: "constexpr" if n in constants else pointers.get(n, "*i64") for n in names}
    source = ASTSource(fn=function, signature=signature, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=kernel._OPTIONS).asm["ptx"]

for dtype in (tl.float32, tl.bfloat16, tl.float16):
    for aligned in (False, True):
        constants = {"DTYPE": dtype, "BLOCK": 4096, "FIRST": True, "ALIGNED": aligned}
        text = ptx(kernel._partials, constants, parts="*fp64", flag="*fp32", count="i32")
        assert ("ld.global.v4.b32" in text) == aligned, (dtype, aligned)
floats = {"parts": "*fp64", "rows": "*fp64", "flag": "*fp32", "count": "i32", "width": "i32"}
assert ".f64" in ptx(kernel._joined, {"CHUNK": 1024}, **floats)
print("compiled")
"""
KERNEL = """
import torch
from test_statistics import tensors
from whynan.tensors.kernel import OnePass, statistics
from whynan.tensors.statistics import reference
from whynan.watch.measuring import SOON, WORTH, Measuring, read
for kernel, truth in zip(statistics(tensors()), reference(tensors())):
    torch.testing.assert_close(kernel, truth, rtol=1e-12, atol=0)
one, good = OnePass(), torch.arange(1.0, 9001.0)
again = [good, torch.ones(5).half(), good[1:], torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last)]
for bad in (None, 0, 1, 3):  # the same tensors with other numbers, then others
    now = [t.clone() if i == bad else t for i, t in enumerate(again)]
    if bad is not None:
        now[bad].as_strided((1,), (1,)).fill_(float("nan"))
    rows, flag = one(now)
    torch.testing.assert_close(rows, torch.stack(list(reference(now))), rtol=1e-12, atol=0)
    assert flag.item() == float(bad is not None), bad
same = torch.ones(64)
for view in (same, same.view(torch.bfloat16)[:64], same.view(torch.float16)[:64]):  # other numbers at one address
    torch.testing.assert_close(one([view])[0], torch.stack(list(reference([view]))), rtol=1e-12, atol=0)
chooser = Measuring(fits=lambda values: True)
chooser.turns = SOON
launched = chooser.launch([torch.full((WORTH,), 0.5), good], exact=True)
sizes = read(launched.way, launched.flag is not None, launched.numbers.reshape(-1).tolist())
assert (launched.way, sizes.certain, sizes.norms[0], sizes.largest) == ("kernel", False, 512.0, [0.5, 9000.0])
print("equal")
"""


def output(code: str, interpreted: bool) -> str:
    paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    environment = {**os.environ, "TRITON_INTERPRET": str(int(interpreted)), "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr[-2000:]
    return done.stdout.strip()


needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


@needs_triton
def test_kernel_in_the_interpreter() -> None:
    assert output(KERNEL, interpreted=True) == "equal"


@needs_triton
def test_kernel_compiles_for_a_gpu_and_reads_several_elements_at_once_where_it_may() -> None:
    assert output(COMPILE, interpreted=False) == "compiled"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_kernel_on_the_device() -> None:
    ours = [t.cuda() for t in tensors()]
    for kernel, truth in zip(statistics(ours), reference(ours), strict=True):
        torch.testing.assert_close(kernel, truth, rtol=1e-12, atol=0)
