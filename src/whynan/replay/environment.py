"""What else decides the numbers of a run: machine, versions, settings. Nothing secret, no names, no paths."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from typing import Any

VARIABLES = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "CUDA_LAUNCH_BLOCKING", "CUDA_VISIBLE_DEVICES",
    "KMP_DETERMINISTIC_REDUCTION", "MKL_CBWR", "MKL_NUM_THREADS", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE", "PYTHONHASHSEED", "PYTORCH_ENABLE_MPS_FALLBACK", "RANK",
    "TORCHDYNAMO_DISABLE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_COMPILE_DISABLE", "WORLD_SIZE",
)  # fmt: skip
"""Environment variables that change numerics, and no others: reports get shared."""


def environment() -> dict[str, str]:
    """Facts about this process as short texts. torch is asked only if it was imported already; nothing is started."""
    found = {
        "platform": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    for name in ("numpy", "transformers", "lightning", "accelerate"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            found[name] = str(version)
    torch: Any = sys.modules.get("torch")
    for key, ask in _questions(torch) if torch is not None else ():
        try:
            value = ask()
        except Exception:  # an older or newer torch without that setting
            continue
        if value is not None:
            found[key] = str(value)
    found.update({name: os.environ[name][:80] for name in VARIABLES if name in os.environ})
    return found


def _questions(torch: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield "torch", lambda: torch.__version__
    yield "default dtype", lambda: str(torch.get_default_dtype()).removeprefix("torch.")
    yield "threads", torch.get_num_threads
    yield "cpu capability", torch.backends.cpu.get_cpu_capability
    yield "deterministic algorithms", torch.are_deterministic_algorithms_enabled
    yield "float32 matmul precision", torch.get_float32_matmul_precision
    yield "flush denormal", lambda: _flushes(torch)
    yield "anomaly mode", torch.is_anomaly_enabled
    if torch.cuda.is_initialized():
        yield "device", torch.cuda.get_device_name
        yield "cuda", lambda: torch.version.cuda
        yield "cudnn", lambda: torch.backends.cudnn.version()
        yield "tf32 matmul", lambda: torch.backends.cuda.matmul.allow_tf32
        yield "tf32 cudnn", lambda: torch.backends.cudnn.allow_tf32
        yield "cudnn benchmark", lambda: torch.backends.cudnn.benchmark
        yield "cudnn deterministic", lambda: torch.backends.cudnn.deterministic
        yield "reduced precision reduction", lambda: torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction


def _flushes(torch: Any) -> bool:
    """Does the processor round subnormal numbers to zero?"""
    smallest = torch.finfo(torch.float32).smallest_normal
    return not bool(torch.tensor(smallest, device="cpu", dtype=torch.float32) * 0.5)
