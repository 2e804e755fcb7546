"""Histograms of what the op of the birth was given, each with the edge beyond which that op is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from whynan.case.facts import Histogram
from whynan.replay.births import Finding, concerned
from whynan.replay.edges import edge, edges
from whynan.replay.trace import OpRecord, TensorRef
from whynan.tensors.histogram import histogram

MOST = 6  # histograms of one birth
PATIENCE = 0.2  # seconds; tensors after that are left out
TINY = 1e-6  # an edge below it is "at zero" for the choice of the axis


def histograms_of(finding: Finding) -> tuple[Histogram, ...]:
    """Of the birth's floating inputs; for one born in backward those of the forward op come first, with its name."""
    record = finding.birth
    if record is None:
        ref = finding.source
        return histograms_of_one(values_of(ref), ref.name) if ref is not None and ref.area.floating else ()
    stop = time.monotonic() + PATIENCE
    made: list[Histogram] = []
    for owner, ref, name, derivative in _candidates(finding, record):
        if made and (time.monotonic() > stop or len(made) == MOST):
            break
        if (one := _histogram(owner, ref, name, derivative)) is not None:
            made.append(one)
    telling = [h for h in made if sum(h.counts) + h.nonfinite > 1 or h.edge is not None]
    return tuple(sorted(telling or made, key=lambda h: h.edge is None))


def histograms_of_one(tensor: torch.Tensor | None, name: str) -> tuple[Histogram, ...]:
    """Of a tensor that came in bad: no op, and so no edge."""
    found = histogram(tensor, name) if tensor is not None else None
    return (found,) if found is not None else ()


def values_of(ref: TensorRef) -> torch.Tensor | None:
    """The values as they were: those kept, else those of the tensor itself if nobody has written to it since."""
    value, owner = ref.value, ref.area.owner()
    if value is not None or owner is None or owner.is_inference():
        return value
    return owner.detach() if owner._version == ref.area.version else None


def _candidates(finding: Finding, record: OpRecord) -> Iterator[tuple[OpRecord, TensorRef, str, bool]]:
    """(op, argument, name to show, is it the derivative that fails)."""
    origin = record.origin
    if origin is not record:
        for ref in origin.inputs:
            if ref.area.floating:
                yield origin, ref, f"{ref.name} of {origin.op}", True
    for ref in concerned(finding, record):
        yield record, ref, ref.name, False


def _histogram(record: OpRecord, ref: TensorRef, name: str, derivative: bool) -> Histogram | None:
    value = values_of(ref)
    if value is None:
        return None
    known = edges(record, ref, derivative)
    made = histogram(value, name, near_zero=any(abs(e.value) < TINY for e in known))
    if made is None:
        return None
    low, high = (made.bounds[0], made.bounds[-1]) if made.bounds else (None, None)
    crossed = edge(known, low, high)
    alone = sum(other.area.floating for other in record.inputs) == 1
    if crossed is None or not alone and not crossed.met(low, high):
        return made
    return replace(made, edge=crossed.value, edge_label=crossed.label, beyond=crossed.beyond)
