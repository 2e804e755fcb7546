"""remedy: which change cures it. Source edits, trials of the patched script, and the plan that ranks both."""

from __future__ import annotations

from whynan.remedy.candidate import Candidate as Candidate
from whynan.remedy.plan import propose as propose
from whynan.remedy.trials import judge as judge
