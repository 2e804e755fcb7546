"""warmup: warm the learning rate up.

What it does
------------
Raises the learning rate from near zero to its value over the first 100 steps, with a `LambdaLR`.

When it applies
---------------
A run fails within its first steps at its full rate, and a tenth of the rate would have survived: adaptive
optimizers whose second moments are not yet estimated, attention with fresh weights.

When it does not
----------------
Late failures, failures of one batch or op, and scripts that have a scheduler already.

Live
----
The rate of every step multiplied by min(1, (step + 1) / 100), from the state before the first step (`warmup`).
"""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy import optimizers
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("warmup", "warm the learning rate up", where="project", live=("warmup",))
def warmup(report: Report, source: Source) -> list[Candidate]:
    steps, made = optimizers.steps(source), optimizers.constructors(source)
    if len(made) != 1 or len(steps) != 1 or "lr_scheduler" in source.text or steps[0].scaler:
        return []
    name = optimizers.assigned_to(source, made[0])
    if name is None or name != steps[0].optimizer or source.scope(made[0]) is not source.scope(steps[0].call):
        return []
    rate = f"{source.spell('torch.optim.lr_scheduler.LambdaLR')}({name}, lambda step: min(1.0, (step + 1) / 100))"
    first = source.insert_after(source.statement(made[0]), f"warmup = {rate}")
    second = source.insert_after(steps[0].statement, "warmup.step()")
    if first is None or second is None or "warmup" in source.text:
        return []
    return [
        Candidate(
            "warmup", "warm the learning rate up over 100 steps", source, (first, second), order=3.0, live=("warmup",)
        )
    ]
