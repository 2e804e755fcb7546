"""Search a loss or a layer for finite inputs that break it: `fuzz` in code, `whynan fuzz` on the command line.

infer        what does it take? shapes, dtypes, ranges, by trying
structured   edge values and structures
guided       towards the edges of guarded ops, by gradients in float64
shapes       Hypothesis: sizes, structures and values together
accuracy     against float64
tell         shrink, explain, measure the safe range, patch and run the patch
"""

from __future__ import annotations

from whynan.preflight.fuzz.api import fuzz as fuzz
from whynan.preflight.fuzz.findings import Finding as Finding
from whynan.preflight.fuzz.findings import FuzzReport as FuzzReport
from whynan.preflight.fuzz.inputs import Input as Input
