"""Initialization: what is off scale at the start, what would be better, and what that does, measured.

A layer keeps the scale of its input when std * sqrt(fan_in) is about 1, or sqrt(2) before a rectifier (He et al.
2015, eq. 10); tanh and sigmoid want Glorot's rule (Glorot and Bengio 2010, eq. 16). Normalization layers repair any
scale behind them, so a gain alone is no problem: what counts is the scale that is measured at the layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from whynan.case.preflight import Layer, Problem
from whynan.preflight.recommended import in_code

GROWS = 100.0  # ratio of the scales of the last and the first layer
DEAD = 0.9  # share of units


def compared(layers: tuple[Layer, ...], again: tuple[Layer, ...], rules: dict[str, str]) -> tuple[Layer, ...]:
    """`layers` with the recommendation, and the scale that was measured under it."""
    better = {layer.name: layer.activation_std for layer in again}
    return tuple(
        replace(layer, recommended=rules.get(layer.name), std_recommended=better.get(layer.name)) for layer in layers
    )


def problems(layers: tuple[Layer, ...]) -> list[Problem]:
    """Explosion, collapse, dead units, layers that no gradient reaches."""
    return [*_scale(layers), *_dead(layers)]


def nonfinite_parameters(modules: Iterable[nn.Module]) -> Iterator[Problem]:
    """Parameters that hold NaN or Inf before the first step. A frozen -inf may be meant; NaN never is."""
    seen: set[int] = set()
    for module in modules:
        for name, tensor in module.named_parameters():
            if id(tensor) in seen or is_lazy(tensor) or not tensor.is_floating_point():
                continue
            if tensor.layout is not torch.strided:
                continue
            seen.add(id(tensor))
            values = tensor.detach()
            nan, inf = int(values.isnan().sum()), int(values.isinf().sum())
            if nan or inf and tensor.requires_grad:
                yield Problem(
                    part="initialization", kind="nonfinite-parameter", severity="error", where=name,
                    message="is not finite before the first step",
                    measured=f"{nan:,} NaN and {inf:,} Inf of {values.numel():,} values",
                    causes=("nonfinite-initialization", "uninitialized-memory"),
                )  # fmt: skip


def _scale(layers: tuple[Layer, ...]) -> Iterator[Problem]:
    known = [layer for layer in layers if layer.activation_std and math.isfinite(layer.activation_std)]
    matrices = [layer for layer in known if layer.gain is not None]
    if len(matrices) < 2:
        return
    first, last = known[0], known[-1]
    assert first.activation_std and last.activation_std
    ratio = last.activation_std / first.activation_std
    per_layer = ratio ** (1 / max(1, len(matrices) - 1))
    widest = max(matrices, key=lambda layer: layer.gain or 0.0)
    if ratio > GROWS or ratio < 1 / GROWS**2:
        verb, kind = ("grows", "exploding-layers") if ratio > 1 else ("shrinks", "vanishing-layers")
        better = f"; {last.std_recommended:.3g} as recommended" if last.std_recommended else ""
        yield Problem(
            part="initialization", kind=kind, severity="warning", where=f"{first.name} to {last.name}",
            message=f"the scale of activations {verb} {per_layer:.3g} times per layer",
            measured=f"std {first.activation_std:.3g} to {last.activation_std:.3g}{better}; "
            f"std * sqrt(fan_in) of {widest.name} is {widest.gain:.3g}",
            causes=("bad-initialization", "exploding-gradients"), remedy=in_code(layers),
        )  # fmt: skip


def _dead(layers: tuple[Layer, ...]) -> Iterator[Problem]:
    for layer in layers:
        if layer.dead is not None and layer.dead > DEAD:
            yield Problem(
                part="initialization", kind="dead-layer", severity="warning", where=layer.name,
                message="most units give 0 for every sample: no gradient passes",
                measured=f"{layer.dead:.0%} of the units of {layer.kind}", causes=("bad-initialization",),
                remedy=in_code(layers),
            )  # fmt: skip
        elif layer.gradient_norm == 0.0:
            yield Problem(
                part="initialization", kind="no-gradient", severity="note", where=layer.name,
                message="its gradient is exactly 0 in the first step", measured=f"parameters of {layer.kind}",
                causes=("bad-initialization",),
            )  # fmt: skip
