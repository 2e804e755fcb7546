"""normalize-inputs: standardise the inputs.

What it does
------------
Brings each input column to mean 0 and deviation 1 within the batch.

When it applies
---------------
Every batch is extreme: columns in nanoseconds, prices in cents, counts up to 1e9 fed to a layer as they are.

When it does not
----------------
One bad batch among good ones (clamp or drop it), or inputs that hold NaN. Statistics of the whole training set
are better than those of a batch: compute them once where the data set is at hand.

Live
----
Every column of the batches standardised, from the oldest snapshot on (`standardise`).
"""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy import loops
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("normalize-inputs", "standardise the inputs", where="project", live=("standardise",))
def normalize_inputs(report: Report, source: Source) -> list[Candidate]:
    out = []
    for i, loop in enumerate(loops.training_loops(source)):
        names = [n for n in loop.names if not loops.is_label(n)]
        if loop.whole or not names:
            continue
        x = names[0]
        line = f"{x} = ({x} - {x}.mean(dim=0)) / ({x}.std(dim=0, correction=0) + 1e-6)"
        edit = source.insert_before(loop.top, line)
        if edit:
            out.append(
                Candidate("normalize-inputs", f"standardise {x} in each batch", source, (edit,), order=0.5 + 0.1 * i)
            )
    return out
