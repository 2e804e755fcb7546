"""Which samples of the batch a birth belongs to."""

from __future__ import annotations

from whynan.replay.births import Finding
from whynan.replay.trace import Trace


def rows_of(trace: Trace, finding: Finding, batch_size: int | None, limit: int = 64) -> tuple[int, ...]:
    """Indices along the batch axis of the bad elements at the birth; empty when they cannot be told apart."""
    if not batch_size or batch_size < 2:
        return ()
    for mask in finding.outputs.values():
        if mask.dim() and mask.shape[0] == batch_size:
            hit = mask.reshape(batch_size, -1).any(1)
            return tuple(hit.nonzero().flatten().tolist())[:limit]
    return ()
