"""Computing with the settings of a recorded run, as far as this machine has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from whynan.replay.environment import environment

_ADOPTED = ("threads", "default dtype", "flush denormal")  # `as_recorded` sets these
_SAID = ("torch", "machine", "cpu capability", "device", "float32 matmul precision", "deterministic algorithms",
         "tf32 matmul", "ATEN_CPU_CAPABILITY", "MKL_CBWR")  # fmt: skip


@contextlib.contextmanager
def as_recorded(recorded: Mapping[str, Any]) -> Iterator[None]:
    """As many threads, the default dtype and the treatment of subnormal numbers as then; put back afterwards."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    flushes = environment().get("flush denormal") == "True"
    wanted = str(recorded.get("threads", ""))
    try:
        if wanted.isdecimal() and 0 < int(wanted) <= 1024:
            torch.set_num_threads(int(wanted))
        if recorded.get("default dtype") in ("float16", "bfloat16", "float32", "float64"):
            torch.set_default_dtype(getattr(torch, str(recorded["default dtype"])))
        torch.set_flush_denormal(recorded.get("flush denormal") == "True")
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_flush_denormal(flushes)


def differences(recorded: Mapping[str, Any]) -> list[str]:
    """What is different here and can change bits: "torch: 2.12.0 then, 2.13.0 now"."""
    now = environment()
    pairs = (
        (name, str(recorded.get(name, "not set")), now.get(name, "not set")) for name in _SAID if name not in _ADOPTED
    )
    return [f"{name}: {then} then, {today} now" for name, then, today in pairs if then != today]
