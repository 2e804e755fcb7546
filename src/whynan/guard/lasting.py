"""Going on with a remedy as a live intervention: the one that the report says is best and that can be kept up.

Candidates are the experiments that stand for the report's remedies, in their order, then those that cured in the
diagnosis. Each is proved once more in the loop before it is kept, unless the diagnosis did that. Where none lasts, the
failing batch is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from whynan.case.facts import Report
from whynan.diagnose.counterfactuals.base import EXPERIMENTS, Experiment, load, snapshot_for
from whynan.diagnose.counterfactuals.execute import Pace, execute
from whynan.diagnose.inquest import Inquest
from whynan.remedy import registry
from whynan.watch.attempts import Attempt, Outcome
from whynan.watch.goingon import Continue

if TYPE_CHECKING:
    from whynan.config import Config
    from whynan.replay.locate import Located
    from whynan.watch.watcher import Watcher

PASSING = frozenset({"identical", "float64", "drop-batch", "patched"})  # nothing that could be kept up
SECONDS = 20.0  # for proving candidates


def lasting(
    located: Located, watcher: Watcher, config: Config, report: Report
) -> Generator[Attempt, Outcome, tuple[Continue | None, str]]:
    """(how to go on, in which words), or (None, why not)."""
    inquest = Inquest.of(located, watcher, config)
    load()
    left = SECONDS
    pace = Pace()
    cured = {e.name for e in report.experiments if e.cured and e.usable}
    failed = {e.name for e in report.experiments if e.usable and not e.cured}
    for name in dict.fromkeys(_wanted(report, cured)):
        experiment = EXPERIMENTS.get(name)
        if experiment is None or name in PASSING or name in failed or not _applies(inquest, experiment):
            continue
        if name not in cured:
            result = yield from execute(inquest, experiment, pace, left)
            left -= pace.seconds
            if result is None or not (result.verdict.passed and result.verdict.usable):
                continue
        plan = _kept_up(inquest, experiment)
        if plan is not None:
            return plan, experiment.title
    return _without_the_batch(inquest)


def _wanted(report: Report, cured: set[str]) -> Iterator[str]:
    kinds = registry.load()
    for remedy in sorted(report.remedies, key=lambda r: not r.verified):
        if remedy.class_ in kinds:
            yield from kinds[remedy.class_].live
    yield from cured


def _applies(inquest: Inquest, experiment: Experiment) -> bool:
    try:
        return snapshot_for(inquest, experiment.start) is not None and experiment.applies(inquest)
    except Exception:
        return False


def _kept_up(inquest: Inquest, experiment: Experiment) -> Continue | None:
    """The attempt of an experiment, without an end."""
    snapshot = snapshot_for(inquest, experiment.start)
    assert snapshot is not None
    try:
        attempt = experiment.apply(inquest, snapshot, inquest.index)
    except Exception:
        return None
    inquest.cleanup.pop_all()  # what it set up stays
    inquest.trace, inquest.source_tensor = None, None  # the values of a whole step
    if experiment.start != "recent" or attempt.prepare is not None:
        return Continue(
            snapshot=snapshot, around=attempt.around, prepare=attempt.prepare, replace_item=attempt.replace_item
        )
    failing, around, replace = inquest.index, attempt.around, attempt.replace_item
    return Continue(  # what was before is as it was, and was said already
        snapshot=snapshot,
        around=(lambda i: around(i) if i >= failing else contextlib.nullcontext()) if around else None,
        replace_item=(lambda i, item: replace(i, item) if i >= failing else item) if replace else None,
        quiet_to=failing - 1,
    )


def _without_the_batch(inquest: Inquest) -> tuple[Continue | None, str]:
    record = inquest.recorder
    if record is None or not inquest.repeatable or inquest.run is None:
        return None, "no iteration can be executed again"
    snapshot = record.at_or_before(inquest.index)
    if snapshot is None:
        return None, "the state before the failure is not known"
    repeated = inquest.index - 1
    return Continue(snapshot=snapshot, drop=frozenset({inquest.index}), quiet_to=repeated), "without the failing batch"
