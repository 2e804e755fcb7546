"""drop-bad-batch: skip batches that are not finite.

What it does
------------
Skips a batch that holds NaN or Inf (or, for input-scale, values beyond 1e6) before the model sees it. Looks at
the data, never at the loss: a batch is skipped because it is bad, not because training is.

When it applies
---------------
Few samples are damaged and can be missed: blank cells, a sensor that dropped out, a fill value.

When it does not
----------------
Where most batches hold a missing value nothing would be left to train on: impute. The file stays damaged.

Live
----
The batch of the iteration before in the place of the failing one (`drop-batch`).
"""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy import loops
from whynan.remedy.candidate import Candidate
from whynan.remedy.loops import Loop
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source

SCALE = ("input-scale", "arithmetic-overflow")


@remedy("drop-bad-batch", "skip batches that are not finite", where="project", live=("drop-batch",))
def drop_bad_batch(report: Report, source: Source) -> list[Candidate]:
    out = []
    scale = any(c.class_ in SCALE for c in report.causes[:3])
    for i, loop in enumerate(loops.training_loops(source)):
        condition = _not_finite(source, loop)
        edit = source.insert_before(loop.top, f"if {condition}:", f"{_step(source, loop)}continue")
        if edit:
            order = (3.0 if scale else 0.3) + 0.1 * i
            out.append(Candidate("drop-bad-batch", "skip batches with NaN or Inf", source, (edit,), order=order))
        if scale and not loop.whole:
            condition = " or ".join(f"{n}.abs().max() > 1e6" for n in loop.names)
            edit = source.insert_before(loop.top, f"if {condition}:", f"{_step(source, loop)}continue")
            if edit:
                out.append(
                    Candidate(
                        "drop-bad-batch", "skip batches with values beyond 1e6", source, (edit,), order=0.5 + 0.1 * i
                    )
                )
    return out


def _step(source: Source, loop: Loop) -> str:
    return "\t" if "\t" in source.indent(loop.top) else "    "


def _not_finite(source: Source, loop: Loop) -> str:
    finite = source.spell("torch.isfinite")
    if loop.whole:
        items = f"{loop.names[0]}.values()" if loops.is_dict(source, loop) else loop.names[0]
        return f"any({source.spell('torch.is_tensor')}(t) and not {finite}(t).all() for t in {items})"
    tests = [f"{finite}({n}).all()" for n in loop.names]
    return f"not ({' and '.join(tests)})" if len(tests) > 1 else f"not {tests[0]}"
