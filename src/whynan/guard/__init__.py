"""Keeping a run alive: off by default, because skipping hides bugs. Counted, capped, and told in log and report.

The room itself can be called: `whynan.guard(optimizer, skip=True)`, see `whynan.library`.
"""

from ..callable import make_callable

make_callable(__name__)
