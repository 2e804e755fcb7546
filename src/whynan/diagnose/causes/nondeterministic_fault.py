"""The failure does not come back

What happens
------------
The same step, executed again from the same state with the same batch and random numbers, is finite. Then no line of
the program is to blame: a hardware fault, a race between streams or threads, memory that was never initialised, or
a kernel that is not deterministic.

How it shows
------------
The identical replay passes, or fails at another place. Everything else that is tried passes too, which is why it
has to be tried first.

Experiment
----------
The control itself: the step again, with nothing changed.

Remedies
--------
Run the step again and go on; note rank and device, and take the device out of service when it happens again; look for
torch.empty and for work on side streams.

Example
-------
    import torch
    torch.manual_seed(0)
    x = torch.randn(8)
    def step(fault):
        return (x * (float("inf") if fault else 1.0)).sum()
    assert not torch.isfinite(step(fault=True)) and torch.isfinite(step(fault=False))
"""

from __future__ import annotations

import math
import sys

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest

NAME = "nondeterministic-fault"
CLASS = "nondeterministic-fault"
REMEDIES = ("other",)


def assess(inquest: Inquest) -> Assessment:
    moved = _moved(inquest)
    if moved is not None:
        return moved
    if inquest.snapshot is None or inquest.run is None:
        return NO
    if inquest.reproduced == "compiled only" and compiled(inquest):
        return Assessment(
            0.6,
            "The failure comes back only when the model runs compiled, not eagerly: the compiled code is to blame.",
            (saw("the step again, eagerly", "finite", "a fault of the compiled kernels or of their fusion"),),
        )
    vanished = inquest.reproduced in ("no", "compiled only", "unobserved only")
    noticed = inquest.birth is not None and inquest.birth.op is None and inquest.source is None  # where, not what
    if inquest.birth is not None and not (vanished and noticed):
        return _drifted(inquest)
    if inquest.reproduced == "bitwise":
        return NO
    again = inquest.reproduced in ("compiled only", "unobserved only")
    lost = inquest.snapshot.lost
    doubt = f" ({len(lost)} large tensors could not be put back, so this is not certain)" if lost else ""
    how = "was finite once and failed once" if again else "is finite"
    return Assessment(
        0.6 if lost or not inquest.snapshot.complete else 0.92,
        f"Step {inquest.step}, executed again from the same state and batch, {how}{doubt}.",
        (saw("identical replay", "finite", "not the program: hardware, a race, or uninitialised memory"),),
        decisive=("identical",),
        expects={"identical": True},
    )


def _moved(inquest: Inquest) -> Assessment | None:
    """It failed again, but at another step than the first time, where the loss of that step had been finite."""
    birth, alarm, seen = inquest.birth, inquest.alarm, inquest.seen
    if birth is None or alarm is None or birth.phase == "init" or compiled(inquest):
        return None
    after = birth.step > alarm.step
    earlier = (
        seen is not None
        and inquest.reproduced == "eager"
        and alarm.what == seen.what == "loss"
        and seen.step < alarm.step
        and inquest.history is not None
        and any(step == seen.step and math.isfinite(loss) for _, step, loss in inquest.history.loss)
    )
    if not after and not earlier:
        return None
    return Assessment(
        0.95,
        f"It failed at step {alarm.step}; executed again, it failed at step {birth.step}: nothing in the "
        "program decides when.",
        (
            saw(
                "the same steps again",
                f"failed at step {birth.step} instead of {alarm.step}",
                "a thread, a race, the hardware, or memory that was never written",
            ),
        ),
        decisive=("identical",),
        expects={"identical": True},
    )


def _drifted(inquest: Inquest) -> Assessment:
    """It failed again, but the numbers of the replay were not those of the first time."""
    if inquest.reproduced != "eager" or compiled(inquest) or on_device(inquest):
        return NO
    return Assessment(
        0.5,
        f"Step {inquest.step} failed again, but with other numbers than the first time.",
        (
            saw(
                "losses of the replay",
                "not the same bits",
                "something in the step is not determined by its state: a thread, a race, the hardware",
            ),
        ),
        decisive=("identical",),
        expects={"identical": True},
    )


def compiled(inquest: Inquest) -> bool:
    """Does any of the program's modules run through torch.compile?"""
    kind = sys.modules.get("torch._dynamo.eval_frame")
    optimized = getattr(kind, "OptimizedModule", None)
    if optimized is None:
        return False
    dynamo = sys.modules.get("torch._dynamo.utils")
    frames = getattr(dynamo, "counters", {}).get("frames", {}) if dynamo is not None else {}
    return bool(frames) or any(isinstance(m, optimized) for m in inquest.modules)


def on_device(inquest: Inquest) -> bool:
    """Kernels of an accelerator may differ in their last bits without anything being wrong."""
    return inquest.birth is not None and any(not o.device.startswith("cpu") for o in inquest.birth.outputs)
