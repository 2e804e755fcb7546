"""The proof of a patch: the patched script is run again, and must stay finite, train as far, and train as well.

A patch is `verified` only if its run stayed finite to the end, took at least nine tenths of the bare run's steps,
moved
the parameters, and ended with a loss no worse than before the failure. A run that was cut off by the budget proves
nothing unless it went on for long after the step that used to fail.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten

from whynan.case.facts import Trial as TrialFacts
from whynan.remedy.mirror import Script as Script
from whynan.remedy.mirror import mirror as mirror
from whynan.remedy.mirror import stand_in
from whynan.remedy.probe import Probe
from whynan.remedy.server import SERVER
from whynan.remedy.server import warm_up as warm_up

ENOUGH_STEPS = 0.9
"""Share of the bare run's steps that a cured run must take; dropping a bad batch costs a few."""
DIED = "the process died"
SAME_LOSS = 0.02
"""Relative difference of two losses that count as the same."""
WINDOW = 10
"""Losses whose median stands for the level before the failure and at the end."""
QUIET = {
    "WANDB_MODE": "disabled",
    "WANDB_SILENT": "true",
    "MLFLOW_TRACKING_URI": "",
    "COMET_MODE": "disabled",
    "NEPTUNE_MODE": "debug",
    "CLEARML_OFFLINE_MODE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",  # what the first run has fetched is in the cache; nothing is pushed twice
    "SWANLAB_MODE": "disabled",
}


@dataclass(frozen=True)
class Outcome:
    """One run as the checker saw it. A run that was cut off carries what was seen until the first bad value, if
    there was one."""

    finite: bool = False
    steps: int = 0
    moved: bool = False
    bad: str | None = None
    bad_step: int | None = None
    crash: str | None = None
    losses: tuple[tuple[int, str, float], ...] = ()
    buffers: tuple[str, ...] = ()
    optimizers: int = 0
    seconds: float = 0.0
    timed_out: bool = False


@dataclass(frozen=True)
class Trial:
    """A patch and what its run showed. `why` says in words what happened when it is not verified."""

    verified: bool
    why: str
    outcome: Outcome | None = None
    loss_before: float | None = None
    loss_after: float | None = None

    @property
    def facts(self) -> TrialFacts | None:
        if self.outcome is None:
            return None
        return TrialFacts(
            how="rerun",
            steps=self.outcome.steps,
            finite=self.outcome.finite,
            loss_before=self.loss_before,
            loss_after=self.loss_after,
        )


def judge(
    script: Script, patch: str, budget: float, bare: Outcome, probe: Probe | None = None, horizon: int | None = None
) -> Trial:
    """Apply a patch to a copy, run it for at most `budget` seconds (and `horizon` steps), compare with the bare
    run."""
    outcome = run(script, patch, budget, probe=probe, horizon=horizon)
    if outcome.timed_out:
        return Trial(False, f"not finished within {budget:.0f} s", None)
    if horizon is not None:
        bare = replace(bare, steps=horizon)
    before, after = levels(bare, outcome)
    why = verdict(bare, outcome)
    return Trial(not why, why, outcome, before, after)


def verdict(bare: Outcome, outcome: Outcome) -> str:
    """What speaks against a run, "" if nothing does."""
    if outcome.bad is not None:
        return f"still non-finite: {outcome.bad} at step {outcome.bad_step}"
    if outcome.crash is not None:
        return f"the patched script fails: {shorten(outcome.crash.splitlines()[0], 100, placeholder=' ...')}"
    if not outcome.finite:
        return "still non-finite"
    fresh = sorted(set(outcome.buffers) - set(bare.buffers)) if bare.bad is None else list(outcome.buffers)
    if fresh:
        return f"buffer {fresh[0]} is NaN at the end"
    if not outcome.moved:
        return "the parameters do not move"
    if outcome.steps < ENOUGH_STEPS * bare.steps:
        return f"only {outcome.steps} of {bare.steps} steps were taken"
    return unhealthy(bare, outcome)


# -- losses ----------------------------------------------------------------------------------------------------------
def levels(bare: Outcome, outcome: Outcome) -> tuple[float | None, float | None]:
    """Median loss before the failure in the bare run, and at the end of this one."""
    failed = bare.bad_step if bare.bad_step is not None else bare.steps
    early = [v for s, _, v in bare.losses if s <= failed][-WINDOW:]
    late = [v for _, _, v in outcome.losses][-WINDOW:]
    return (statistics.median(early) if early else None), (statistics.median(late) if late else None)


def unhealthy(bare: Outcome, outcome: Outcome) -> str:
    """Says so if the loss of some backward() call ended far above where it was while training was sound.

    Sound is the lower of the start and the time before the failure: a run that diverges is high just before it fails.
    """
    failed = bare.bad_step if bare.bad_step is not None else bare.steps
    for place in dict.fromkeys(p for _, p, _ in outcome.losses):
        own = [v for _, p, v in outcome.losses if p == place]
        early = [v for s, p, v in bare.losses if p == place and s <= failed]
        start, window = (early or own)[:WINDOW], early[-WINDOW:] or own[:WINDOW]
        reference = min(statistics.median(start), statistics.median(window))
        spread = max(abs(v - statistics.median(start)) for v in start) if len(start) > 1 else 0.0
        reference = max(reference, _level_of_the_failing_step(bare, outcome, place, failed))
        limit = reference + max(2 * abs(reference), 4 * min(spread, 10 * abs(reference)), 1.0)
        after = statistics.median(own[-WINDOW:])
        if after > limit and after > statistics.median(own[:WINDOW]) * 1.5:
            return f"finite, but the loss ends at {after:.3g} (it was {reference:.3g})"
    return ""


def _level_of_the_failing_step(bare: Outcome, outcome: Outcome, place: str, failed: int) -> float:
    """The finite loss of the step that failed, where the patched run has the same: then the data of that step brought
    it, and no divergence that the patch ends."""
    before = [v for s, p, v in bare.losses if p == place and s == failed and math.isfinite(v)]
    after = [v for s, p, v in outcome.losses if p == place and s == failed]
    if before and after and abs(before[-1] - after[-1]) <= SAME_LOSS * abs(before[-1]):
        return before[-1]
    return -math.inf


# -- running ---------------------------------------------------------------------------------------------------------
def run(
    script: Script,
    patch: str | None,
    budget: float,
    stop: bool = True,
    probe: Probe | None = None,
    horizon: int | None = None,
) -> Outcome:
    """Run a script in a mirror of its folder, patched or bare, for at most `budget` seconds and `horizon` steps."""
    root = Path(tempfile.mkdtemp(prefix="whynan-trial-"))
    try:
        where = mirror(script, patch, root, probe)
        spec = {
            "script": str(where[0]),
            "cwd": str(where[1]),
            "argv": list(script.argv),
            "module": script.module,
            "stop": stop,
            "root": str(root),
            "paths": {str(script.root): str(stand_in(root))},
            "result": str(root / "result.json"),
            "env": environment(root),
            "probe": probe.kind if probe else None,
        } | ({"most_steps": horizon} if horizon else {})
        (root / "spec.json").write_text(json.dumps(spec))
        finished = SERVER.run(root / "spec.json", budget)
        result = root / "result.json"
        if not finished:
            partial = root / "result.json.partial"
            return (
                replace(outcome(json.loads(partial.read_text())), timed_out=True)
                if partial.exists()
                else Outcome(timed_out=True)
            )
        if not result.exists():
            return Outcome(crash=DIED)
        return outcome(json.loads(result.read_text()))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def outcome(seen: dict) -> Outcome:  # type: ignore[type-arg]
    bad = seen["first_bad"] or {}
    lines: dict[str, list[int]] = {}
    for _, place, line, _ in seen["losses"]:
        lines.setdefault(place, []).append(line)
    order = {place: {line: i for i, line in enumerate(sorted(set(found)))} for place, found in lines.items()}
    return Outcome(
        seen["finite"],
        seen["steps"],
        seen["moved"],
        bad.get("what"),
        bad.get("step"),
        seen["crash"],
        tuple((s, f"{p}#{order[p][line]}", v) for s, p, line, v in seen["losses"]),
        tuple(seen["buffers"]),
        seen["optimizers"],
        seen["seconds"],
    )


def environment(root: Path) -> dict[str, str]:
    (root / "tmp").mkdir(exist_ok=True)
    return {**QUIET, "TMPDIR": str(root / "tmp")}
