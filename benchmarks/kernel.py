"""The fused kernel against `_foreach_norm`, over numbers and sizes of tensors: which is faster where? Needs CUDA.

    python -m benchmarks.kernel [--rounds 30] [--blocks 1024,4096,8192]

`norms` is one fused 2-norm: it is in doubt of finite numbers whose squares overflow; `norms, flag` adds the inf-norm
that a step needs to be held back; `kernel` says all of it and more in one pass. Milliseconds of the device, and of the
host to launch it; the last column is the share of the memory's bandwidth if every element is read once.
`watch/measuring.py` chooses by the same measurement, in the program itself.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from whynan.tensors.kernel import OnePass
from whynan.tensors.many import device_norms
from whynan.watch.contain import nonfinite_flag

LISTS = {
    "20 of 64": [64] * 20,
    "100 of 4 K": [4096] * 100,
    "100 of 64 K": [1 << 16] * 100,
    "1 of 16 M": [1 << 24],
    "GPT-2 124M": [50304 * 768, 1024 * 768] + [768, 768, 3 * 768 * 768, 3 * 768, 768 * 768, 768, 768, 768,
                                               4 * 768 * 768, 4 * 768, 4 * 768 * 768, 768] * 12 + [768, 768],
}  # fmt: skip


def measured(launch: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Milliseconds of the device and of the host, medians."""
    device, host = [], []
    for _ in range(rounds + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        torch.cuda._sleep(2_000_000)  # the host is ahead, as in a program that keeps the device busy
        begin.record()
        start = time.perf_counter()
        launch()
        host.append((time.perf_counter() - start) * 1e3)
        end.record()
        torch.cuda.synchronize()
        device.append(begin.elapsed_time(end))
    return statistics.median(device[3:]), statistics.median(host[3:])


def ways(tensors: list[Tensor], blocks: list[int]) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {
        "norms": lambda: device_norms(tensors),
        "norms, flag": lambda: (device_norms(tensors), nonfinite_flag(tensors)),
    }
    for block in blocks:
        one = OnePass(block)
        found[f"kernel, {block} a program"] = lambda one=one: one(tensors)  # type: ignore[misc]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--blocks", default="1024,4096,8192")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.kernel measures a CUDA device, and there is none here.")
    properties = torch.cuda.get_device_properties(0)
    peak = 2 * getattr(properties, "memory_clock_rate", 0) * 1e3 * getattr(properties, "memory_bus_width", 0) / 8
    print(f"{properties.name}, torch {torch.__version__}")
    print("| tensors | dtype | way | device ms | host ms | bandwidth |\n|---|---|---|---|---|---|")
    for label, sizes in LISTS.items():
        for dtype in (torch.float32, torch.bfloat16):
            tensors = [torch.randn(n, device="cuda", dtype=dtype) for n in sizes]
            nbytes = sum(t.nbytes for t in tensors)
            for way, launch in ways(tensors, [int(b) for b in options.blocks.split(",")]).items():
                device, host = measured(launch, options.rounds)
                share = f"{nbytes / device * 1e3 / peak:.0%}" if peak else f"{nbytes / device / 1e6:.0f} GB/s"
                print(f"| {label} | {str(dtype)[6:]} | {way} | {device:.3f} | {host:.3f} | {share} |", flush=True)


if __name__ == "__main__":
    main()
