"""The failure does not come back

What happens
------------
The same step, executed again from the same state with the same batch and random numbers, is finite. Then no line of the
program is to blame: a hardware fault, a race between streams or threads, memory that was never initialised, or a
kernel that is not deterministic.

How it shows
------------
The identical replay passes. Everything else that is tried passes too, which is why it has to be tried first.

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

from whynan.diagnose.assessment import NO, Assessment, saw
from whynan.diagnose.inquest import Inquest

NAME = "nondeterministic-fault"
CLASS = "nondeterministic-fault"
REMEDIES = ("other",)


def assess(inquest: Inquest) -> Assessment:
    if inquest.snapshot is None or inquest.reproduced in ("bitwise", "eager", "rerun") or inquest.birth is not None:
        return NO
    if inquest.reproduced == "compiled only":
        return Assessment(
            0.5,
            "The failure comes back only when the model runs compiled, not eagerly: the compiled code is to blame.",
            (saw("the step again, eagerly", "finite", "a fault of the compiled kernels or of their fusion"),),
        )
    if inquest.reproduced == "unobserved only":
        return Assessment(0.2, "The failure comes back, but not under the microscope.")
    lost = inquest.snapshot.lost
    doubt = f" ({len(lost)} large tensors could not be put back, so this is not certain)" if lost else ""
    return Assessment(
        0.6 if lost or not inquest.snapshot.complete else 0.92,
        f"Step {inquest.step}, executed again from the same state and batch, is finite{doubt}.",
        (saw("identical replay", "finite", "not the program: hardware, a race, or uninitialised memory"),),
        decisive=("identical",),
        expects={"identical": True},
    )
