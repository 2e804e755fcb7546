"""add-eps: a small number where a zero is the trouble.

What it does
------------
Adds a small constant to the argument of the op that failed: inside the root, in the denominator, inside the
logarithm. Values near zero change a little, all others by less than the rounding error.

When it applies
---------------
A root, a logarithm or a quotient met an exact zero, and zero is a value that the data may have.

When it does not
----------------
Outside of the op it does not help: `sqrt(x) + eps` has the derivative of `sqrt(x)`, infinite at zero. In
float16 an eps below 6e-8 is zero itself. Where a stable formulation of the whole expression exists, that is the
better change.

Live
----
The argument of the op is kept inside its domain, at that line only (`op-guard`); or the patched function
itself.
"""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy.candidate import Candidate
from whynan.remedy.guarding import guarded
from whynan.remedy.registry import remedy
from whynan.remedy.source import Source


@remedy("add-eps", "add an eps inside the op", live=("op-guard",))
def add_eps(report: Report, source: Source) -> list[Candidate]:
    return guarded(report, source, "add-eps")
