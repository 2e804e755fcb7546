"""Learning rate too high

What happens
------------
The update overshoots: the error is multiplied by a factor of absolute value above one in every step (|1 - lr *
curvature|). Loss, gradients and parameters grow geometrically until a product overflows, far from where the trouble
is.

How it shows
------------
Loss or gradient norm grow by about the same factor for several steps in a row, long before anything is non-finite.
The op that overflows first is arbitrary: often the squared error.

Experiment
----------
A tenth of the learning rate, from some steps earlier, keeps the run finite with an ordinary loss; so do clipped
gradients. Another batch fails one step later. float64 stays finite for a while and diverges (7e88 times the loss in
our run), which is no cure.

Remedies
--------
Lower the learning rate, warm up, clip gradients, use an optimizer with adaptive steps.

Example
-------
    import torch
    w = torch.tensor(1.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=10.0)
    for _ in range(40):
        optimizer.zero_grad()
        loss = w.square()
        loss.backward()
        optimizer.step()
    assert not torch.isfinite(loss)
"""

from __future__ import annotations

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest
from whynan.diagnose.measurements.depth import depth
from whynan.diagnose.measurements.direction import direction
from whynan.diagnose.measurements.growth import growth
from whynan.diagnose.measurements.mechanism import mechanism
from whynan.diagnose.measurements.operands import operands
from whynan.diagnose.measurements.optimizers import optimizers
from whynan.diagnose.measurements.parameters import parameters
from whynan.diagnose.measurements.usercode import usercode
from whynan.diagnose.words import number

NAME = "learning-rate-too-high"
CLASS = "learning-rate-too-high"
REMEDIES = ("lower-learning-rate", "warmup", "clip-gradients", "change-optimizer")

EXPECTS = {
    "lr/10": True,
    "clip": True,
    "drop-batch": False,
    "winsorise": False,
    "reinit": False,
    "float64": False,
    "zero-grad": False,
    "weight-decay": False,
    "minimize": False,
}


def assess(inquest: Inquest) -> Assessment:
    how, birth = mechanism(inquest), inquest.birth
    if birth is None or inquest.first_step or not inquest.optimizers and growth(inquest) is None:
        return NO
    if how not in (
        "overflow",
        "exp",
        "cast",
        "div-tiny",
        "derivative-overflow",
        "infinities",
        "singular",
        "log-zero",
        "domain",
    ):
        return NO
    found, settings = growth(inquest), optimizers(inquest)
    rate = f" (lr {number(settings.lr)})" if settings is not None and settings.lr is not None else ""
    series = found.geometric if found is not None else None
    if how in ("singular", "log-zero", "domain"):
        return _drove_there(series, rate)
    if series is not None:
        score = 0.88 if how != "exp" or _far_over(inquest) else 0.6
        code = usercode(inquest)
        if settings is not None and settings.find("lr-negative"):
            score = min(score, 0.6)
        if code is not None and (code.clip_after_step is not None or code.never_zeroed):
            score = min(score, 0.6)  # the growth is there, and the source says why
        which_way = direction(inquest)
        if which_way is not None and which_way.falling:
            score = min(score, 0.6)  # overshooting drives a loss up, not to minus infinity
        return Assessment(
            score,
            f"{series.name.capitalize()} grew {number(series.factor)} times per step, from {number(series.first)} to "
            f"{number(series.last)} in {series.n} steps{rate}: every update overshoots.",
            (
                saw(
                    f"growth of {series.name}",
                    f"{number(series.factor)} times per step over {series.n} steps",
                    "geometric growth across steps, the mark of divergence",
                ),
            ),
            decisive=("lr/10",),
            expects=EXPECTS,
        )
    within = depth(inquest)
    code = usercode(inquest)
    if within is not None and within.repeats >= 4 and within.total > 1e6 and code is not None and code.inner_updates:
        return Assessment(
            0.7,
            f"Updates made within the step (an inner loop, line {code.inner_updates}) grow the values from "
            f"{number(within.first)} to {number(within.last)}: the inner rate overshoots.",
            (
                saw(
                    "largest value along the inner loop",
                    f"{number(within.factor)} times per repetition of line {within.line}",
                    "geometric growth from one inner update to the next",
                ),
            ),
        )
    params = parameters(inquest)
    grown = params.growth if params is not None else None
    if inquest.updates <= 4 or grown is not None and grown > 10:
        far = f"; parameters grew {number(grown)} times in {params.steps_between} steps" if grown and params else ""
        return Assessment(
            0.5 if grown is not None and grown > 10 else 0.42,
            f"It fails {inquest.updates} updates after the start{rate}{far}.",
            (saw("steps until the failure", str(inquest.updates), "too few for a trend"),),
            decisive=("lr/10",),
            expects=EXPECTS,
        )
    return Assessment(
        0.22,
        f"Neither loss nor gradients grew before the failure{rate}.",
        (),
        decisive=("lr/10",),
        expects=EXPECTS,
    )


def _far_over(inquest: Inquest) -> bool:
    """The argument of exp is not just over the edge (88.7) but thousands of times beyond."""
    given = operands(inquest)
    x = given.argument() if given is not None else None
    return x is not None and x.large is not None and x.large > 1e4


def _drove_there(series: object, rate: str) -> Assessment:
    """The op is at the edge of its domain; divergence may have driven it there, but the op is the nearer cause."""
    if series is None:
        return NO
    return Assessment(0.35, f"Divergence{rate} may have driven the op to its edge.", expects={"lr/10": True})
