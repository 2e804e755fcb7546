"""A failure that did not come back: the line of the alarm stands in for the birthplace."""

from __future__ import annotations

import linecache

from whynan.case.facts import Birth, Phase
from whynan.replay.locate import Located

_PHASES: dict[str, Phase] = {"parameter": "optimizer", "state": "optimizer", "gradient": "backward"}


def where_it_was_noticed(located: Located) -> Birth | None:
    """For a failure that did not come back: the line of the alarm is all that is known."""
    seen = located.seen
    if seen.site is None:
        return None
    file, line, function = seen.site
    return Birth(
        step=seen.step,
        iteration=located.iteration,
        phase=_PHASES.get(seen.what, "forward"),
        kind="nan" if seen.value == "nan" else "inf",
        op=None,
        file=file,
        line=line,
        function=function,
        source=linecache.getline(file, line).rstrip("\n") or None,
        note="This is where the value was noticed: the failure did not come back when the step was executed again.",
    )
