"""E8 within the step: how the numbers grew on their way to the birth, along depth or time.

The chain follows the largest input from op to op. A line that occurs many times in it is a recurrence or a stack of
layers; the factor per occurrence says whether it is the structure that multiplies (exploding gradient,
initialization)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from whynan.diagnose.inquest import Inquest, measurement
from whynan.replay.memory import writers

LONGEST = 4000  # ops
PRODUCTS = frozenset(
    "mm addmm bmm baddbmm mv dot convolution convolution_backward mkldnn_rnn_layer "
    "mkldnn_rnn_layer_backward linear mul _scaled_dot_product_flash_attention_for_cpu "
    "embedding_dense_backward addcmul".split()
)
MATRIX = PRODUCTS - {"mul", "addcmul"}


@dataclass(frozen=True)
class Depth:
    """`first`, `last`: absmax at the start of the chain and at the birth's input; `products`: matrix products in it;

    `factor`: growth per repetition of the most frequent line of code, which occurs `repeats` times.
    """

    ops: int
    products: int
    first: float
    last: float
    factor: float
    repeats: int
    line: int | None
    source: str | None
    backward: bool

    @property
    def total(self) -> float:
        return self.last / self.first if self.first else math.inf


@measurement
def depth(inquest: Inquest) -> Depth | None:
    record = inquest.record
    if record is None:
        return None
    backward = record.node is not None
    chain = chain_to(record, backward)
    sizes = [(r, s) for r, s in chain if s > 0]
    if len(sizes) < 2:
        return None
    lines = Counter((r.site.file, r.site.line) for r, _ in sizes if r.site is not None and r.plan.base in PRODUCTS)
    (place, repeats) = lines.most_common(1)[0] if lines else ((None, None), 0)
    on_line = [(r, s) for r, s in sizes if r.site is not None and (r.site.file, r.site.line) == place]
    factor = 1.0
    if repeats > 1 and on_line:
        first, last = on_line[0][1], on_line[-1][1]
        factor = (last / first) ** (1 / (repeats - 1))
    peak = max(s for _, s in sizes)
    return Depth(
        ops=len(sizes),
        products=sum(r.plan.base in MATRIX for r, _ in sizes),
        first=sizes[0][1],
        last=max(sizes[-1][1], peak),
        factor=factor,
        repeats=repeats,
        line=place[1],
        source=on_line[0][0].site.source.strip()
        if on_line and on_line[0][0].site and on_line[0][0].site.source
        else None,
        backward=backward,
    )


def chain_to(record: Any, backward: bool) -> list[tuple[Any, float]]:
    """(op, absmax of what it gave) from the first op to the birth, through the largest input each time."""
    chain: list[tuple[Any, float]] = []
    at = record
    while at is not None and len(chain) < LONGEST:
        sized = [(ref.absmax, ref) for ref in at.inputs if ref.absmax is not None and math.isfinite(ref.absmax)]
        following = None
        for size, ref in sorted(sized, key=lambda s: -s[0]):
            made = writers(ref.area, ref.index)
            if made and not made[0][0].plan.constant and (not backward or made[0][0].phase == "backward"):
                following = made[0][0]
                chain.append((following, size))
                break
        at = following
    return chain[::-1]


@dataclass(frozen=True)
class Layers:
    """Largest absolute values after each matrix product of the forward pass, in order."""

    sizes: tuple[float, ...]

    @property
    def factor(self) -> float:
        """Geometric mean growth from one product to the next."""
        positive = [s for s in self.sizes if 0 < s < math.inf]
        return (positive[-1] / positive[0]) ** (1 / (len(positive) - 1)) if len(positive) > 1 else 1.0


@measurement
def layers(inquest: Inquest) -> Layers | None:
    """E11: activation growth per layer, up to the birth."""
    trace, record = inquest.trace, inquest.record
    if trace is None:
        return None
    end = record.index if record is not None else len(trace.records)
    found = []
    for r in trace.records[:end]:
        if r.phase == "forward" and r.plan.base in MATRIX and r.outputs:
            size = r.outputs[0].absmax
            if size is not None and math.isfinite(size):
                found.append(size)
    return Layers(tuple(found)) if found else None
