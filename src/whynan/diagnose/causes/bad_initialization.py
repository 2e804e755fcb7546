"""Bad initialization

What happens
------------
Weights are drawn on the wrong scale. With a standard deviation of 1 instead of 1/sqrt(fan_in) every layer
multiplies its input by sqrt(fan_in): 128-wide layers overflow float32 after 36 of them, before a single update.

How it shows
------------
It fails in the very first step. Activations grow by a constant factor per layer, and std * sqrt(fan_in) of the
matrices is far above 1.

Experiment
----------
With the parameters drawn again by PyTorch's own rules the run is finite; a lower learning rate and clipping change
nothing, because the first forward pass fails.

Remedies
--------
Initialise with Kaiming, Xavier or orthogonal rules and a gain for the nonlinearity; add normalization layers.

Example
-------
    import torch
    torch.manual_seed(0)
    x = torch.randn(8, 128)
    for _ in range(44):
        x = (x @ torch.randn(128, 128)).relu()
    assert not torch.isfinite(x).all()
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.batches import batches
from whynan.diagnose.measurements.depth import layers
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.parameters import parameters
from whynan.diagnose.words import number

NAME = "bad-initialization"
CLASS = "bad-initialization"
REMEDIES = ("reinitialize", "normalization-layer")

ORDINARY = 1.3  # of the gain of a layer: PyTorch's own rules give up to about 1
EARLY = 3  # updates: parameters are still close to what they were initialised to


def assess(inquest: Inquest) -> Assessment:
    birth, how = inquest.birth, mechanism(inquest)
    if birth is None or birth.phase not in ("forward", "backward", "optimizer") or inquest.updates > EARLY:
        return NO
    if how not in ("overflow", "exp", "cast", "derivative-overflow", "singular", "linalg", "div-zero"):
        return NO
    if birth.phase == "optimizer" and how != "overflow":
        return NO
    params, grown, data = parameters(inquest), layers(inquest), batches(inquest)
    gain = params.gain if params is not None else 0.0
    factor = grown.factor if grown is not None else 1.0
    if how in ("singular", "linalg", "div-zero"):
        if inquest.updates > 0:
            return NO
        return Assessment(
            0.4,
            "It fails before the first update: the initial parameters put the op at its edge.",
            expects={"reinit": True},
        )
    score = 0.35
    if gain > 1.8 and params is not None and params.wide >= 1:
        score = 0.75
    if factor > 1.8 and grown is not None and len(grown.sizes) > 3:
        score = max(score, 0.7) + (0.12 if gain > 1.8 else 0.05)
    if inquest.updates > 0:
        score -= 0.3
    if how == "exp":
        score = min(score, 0.7)
    if data is not None and data.scale > 1e4:
        score = min(score, 0.45)
    if gain <= ORDINARY and factor <= ORDINARY:
        return NO if inquest.updates > 0 else Assessment(0.25, "It fails before the first update.")
    named = f" of `{params.gain_of}`" if params is not None and params.gain_of else ""
    per_layer = f"; values grow {number(factor)} times per layer" if factor > 1.3 else ""
    when = "before the first update" if inquest.updates == 0 else f"after {inquest.updates} updates"
    return Assessment(
        score,
        f"It fails {when}: std * sqrt(fan_in){named} is {number(gain)} where about 1 keeps values in range{per_layer}.",
        (
            saw(
                "scale of the initial weights",
                f"std * sqrt(fan_in) = {number(gain)}{named}",
                "each layer multiplies its input by about this",
            ),
        ),
        decisive=("reinit",),
        expects={"reinit": True, "lr/10": False, "clip": False, "drop-batch": False, "winsorise": False},
    )
