"""impute-inputs: replace missing values in the batch.

What it does
------------
Replaces NaN and Inf in the inputs by 0 before the model sees them.

When it applies
---------------
The data itself holds missing values, too many to drop the samples, and 0 is an ordinary value of the column
(standardised inputs).

When it does not
----------------
Labels must not be invented; a value that an op of the program made is a symptom, and replacing it hides the
cause.

Live
----
The non-finite values of the batch replaced by the means of their columns (`impute`).
"""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy import loops
from whynan.remedy.candidate import Candidate
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("impute-inputs", "replace missing values in the batch", where="project", live=("impute",))
def impute_inputs(report: Report, source: Source) -> list[Candidate]:
    if not any(c.class_ == "bad-input" for c in report.causes[:3]) and not (
        report.birth and report.birth.phase == "data"
    ):
        return []
    out = []
    for i, loop in enumerate(loops.training_loops(source)):
        if loop.whole:
            continue
        names = [n for n in loop.names if not loops.is_label(n)] or list(loop.names)
        for j, chosen in enumerate((names, list(loop.names))):
            lines = [f"{n} = {source.spell('torch.nan_to_num')}({n}, nan=0.0, posinf=0.0, neginf=0.0)" for n in chosen]
            edit = source.insert_before(loop.top, *lines)
            if edit and (j == 0 or chosen != names):
                out.append(
                    Candidate(
                        "impute-inputs",
                        "replace NaN and Inf in the batch by 0",
                        source,
                        (edit,),
                        order=0.6 + 0.1 * i + 0.05 * j,
                    )
                )
    return out
