"""GradScaler skips step after step: its scale is collapsing, and nothing is trained meanwhile.

From its initial 65536 a scaler may need sixteen halvings to find a scale; more than that in a row leave a scale below
1, where even a loss of ordinary size gives gradients that float16 cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.watch.warnings.base import Moment, Sign, Warning, warning

ROW = 17


@warning("loss-scale")
class LossScale(Warning):
    def look(self, moment: Moment) -> Iterator[Sign]:
        if moment.skips >= ROW:
            words = f"GradScaler skipped {moment.skips} steps in a row: nothing is trained"
            yield Sign(words, value=float(moment.skips))
