"""The condition of the matrix that a linear algebra op was given, and the smallest gap between its spectral values."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from whynan.diagnose.inquest import Inquest, measurement

NAMES = frozenset(
    "cholesky choleskyinverse choleskysolve choleskyex inverse svd eigh eig logdet slogdet det qr "
    "pinverse lstsq solve triangularsolve lusolve geqrf ormqr".split()
)
NOT = ("norm", "cross", "vander", "matrixexp", "vecdot", "diagonal", "cond")


@dataclass(frozen=True)
class Matrix:
    """Worst of `matrices`: largest over smallest singular value, and the smallest gap of neighbours relative
    to the largest."""

    size: int
    matrices: int
    condition: float
    gap: float
    smallest: float


def is_linalg(name: str | None) -> bool:
    """By the bare name of an op or of its derivative: factorizations, solves, inverses, determinants."""
    plain = (name or "").lower().replace("_", "")
    return plain in NAMES or plain.startswith("linalg") and not any(word in plain for word in NOT)


@measurement
def matrix(inquest: Inquest) -> Matrix | None:
    record = inquest.record
    if record is None:
        return None
    source = record.forward if record.node is not None and record.forward is not None else record
    for ref in source.inputs:
        value = ref.value
        if value is None or value.dim() < 2 or not ref.area.floating or value.shape[-1] > 2048:
            continue
        with torch.no_grad():
            batch = value.detach().double().reshape(-1, *value.shape[-2:])[:256]
            batch = batch[torch.isfinite(batch).flatten(1).all(1)]
            if batch.numel() == 0:
                continue
            s = torch.linalg.svdvals(batch)
            top = s[:, :1].clamp_min(1e-300)
            condition = (top[:, 0] / s[:, -1].clamp_min(1e-300)).max().item()
            gap = ((s[:, :-1] - s[:, 1:]) / top).min().item() if s.shape[1] > 1 else 1.0
            return Matrix(int(s.shape[1]), int(batch.shape[0]), condition, gap, s.min().item())
    return None
