"""The control: the same iterations again, with nothing changed. It has to fail again, or no other result means
anything."""

from __future__ import annotations

from whynan.diagnose.counterfactuals.base import experiment
from whynan.diagnose.inquest import Inquest
from whynan.watch.attempts import Attempt
from whynan.watch.snapshot import Snapshot


@experiment("identical", "with nothing changed (control)", start="early")
def identical(inquest: Inquest, snapshot: Snapshot, until: int) -> Attempt:
    return Attempt(snapshot=snapshot, until=inquest.index)
