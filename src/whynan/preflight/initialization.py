"""Initialization: what is off scale at the start, what would be better, and what that does, measured.

A layer keeps the scale of its input when std * sqrt(fan_in) is about 1, or sqrt(2) before a rectifier (He et al.
2015, eq. 10); tanh and sigmoid want Glorot's rule (Glorot and Bengio 2010, eq. 16). Normalization layers repair any
scale behind them, so a gain alone is no problem: what counts is the scale that is measured at the layers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import nn

from whynan.case.preflight import Layer, Problem
from whynan.preflight.layers import fan_in
from whynan.replay.trace import Trace

GROWS = 100.0  # ratio of the scales of the last and the first layer
DEAD = 0.9  # share of units
MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


KAIMING, XAVIER = 'nn.init.kaiming_normal_(nonlinearity="relu")', "nn.init.xavier_uniform_"
_RECTIFYING = frozenset({"relu", "leaky_relu", "elu", "gelu", "silu", "prelu", "_prelu_kernel", "threshold", "mish"})


def rules_of(models: Iterable[nn.Module], trace: Trace) -> dict[str, str]:
    """The rule that suits each matrix, by the op that reads what it gives: a rectifier wants Kaiming's."""
    rules = {name: XAVIER for model in models for name, m in model.named_modules() if isinstance(m, MATRICES)}
    made: dict[int, str] = {}  # memory -> the layer that wrote it last
    for record in trace.records:
        if record.phase != "forward":
            continue
        base = record.plan.base.removesuffix("_")
        for ref in record.inputs:
            layer = made.get(ref.storage)
            if layer is not None and base in _RECTIFYING:
                rules[layer] = KAIMING
        for ref in record.outputs:
            if record.module is not None and record.module in rules:
                made[ref.storage] = record.module
            elif base in ("native_batch_norm", "native_layer_norm", "native_group_norm", "add"):
                pass  # a rectifier behind a normalization layer or a sum is read as if it stood behind the matrix
            else:
                made.pop(ref.storage, None)
    return rules


@contextlib.contextmanager
def initialised_as_recommended(models: Iterable[nn.Module], rules: dict[str, str]) -> Iterator[None]:
    """Every matrix drawn again by its rule, biases 0; put back afterwards. Draws from a generator of its own."""
    random = torch.Generator().manual_seed(0)
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    with torch.no_grad():
        for model in models:
            modules = dict(model.named_modules())
            for name, rule in rules.items():
                if not isinstance(module := modules.get(name), MATRICES):
                    continue
                weight, bias = module.weight, getattr(module, "bias", None)
                kept += [(p, p.detach().clone()) for p in (weight, bias) if isinstance(p, torch.Tensor)]
                inputs = fan_in(module, weight)
                outputs = weight.numel() // max(1, inputs)
                variance = 2.0 / inputs if rule == KAIMING else 2.0 / (inputs + outputs)
                weight.copy_(torch.randn(weight.shape, generator=random) * math.sqrt(variance))
                if isinstance(bias, torch.Tensor):
                    bias.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, values in kept:
                parameter.copy_(values)


def compared(layers: tuple[Layer, ...], again: tuple[Layer, ...], rules: dict[str, str]) -> tuple[Layer, ...]:
    """`layers` with the recommendation, and the scale that was measured under it."""
    better = {layer.name: layer.activation_std for layer in again}
    return tuple(
        replace(layer, recommended=rules.get(layer.name), std_recommended=better.get(layer.name)) for layer in layers
    )


def problems(layers: tuple[Layer, ...]) -> list[Problem]:
    """Explosion, collapse, dead units, weights that are no numbers."""
    return [*_scale(layers), *_dead(layers)]


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
            causes=("bad-initialization", "exploding-gradients"), remedy=_code(layers),
        )  # fmt: skip


def _dead(layers: tuple[Layer, ...]) -> Iterator[Problem]:
    for layer in layers:
        if layer.dead is not None and layer.dead > DEAD:
            yield Problem(
                part="initialization", kind="dead-layer", severity="warning", where=layer.name,
                message="most units give 0 for every sample: no gradient passes",
                measured=f"{layer.dead:.0%} of the units of {layer.kind}", causes=("bad-initialization",),
                remedy=_code(layers),
            )  # fmt: skip


def _code(layers: tuple[Layer, ...]) -> str:
    rectified = any("kaiming" in (layer.recommended or "") for layer in layers)
    kaiming, xavier = 'kaiming_normal_(m.weight, nonlinearity="relu")', "xavier_uniform_(m.weight)"
    rule = f"nn.init.{kaiming if rectified else xavier}"
    return (
        f"for m in model.modules():\n    if isinstance(m, (nn.Linear, nn.Conv2d)):\n        {rule}\n"
        "        if m.bias is not None:\n            nn.init.zeros_(m.bias)"
    )
