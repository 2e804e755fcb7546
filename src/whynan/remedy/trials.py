"""The proof of a patch: the patched script is run again, and must stay finite, train as far, and train as well.

A patch is `verified` only if its run stayed finite to the end, took at least nine tenths of the bare run's steps,
moved
the parameters, and ended with a loss no worse than before the failure. A run that was cut off by the budget proves
nothing unless it went on for long after the step that used to fail.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from whynan.case.facts import Trial as TrialFacts
from whynan.remedy.edits import apply_patch, patched_path
from whynan.remedy.probe import Probe, moved_line, probed

CHECKER = Path(__file__).with_name("checker.py")
ENOUGH_STEPS = 0.9
"""Share of the bare run's steps that a cured run must take; dropping a bad batch costs a few."""
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
}


@dataclass(frozen=True)
class Script:
    """What is run: a script with its arguments, in a working directory."""

    path: Path
    argv: tuple[str, ...] = ()
    cwd: Path = field(default_factory=Path.cwd)
    module: str | None = None

    @property
    def root(self) -> Path:
        """What diffs are relative to: the working directory if the script lies below it, else the script's folder."""
        cwd, path = self.cwd.resolve(), self.path.resolve()
        return cwd if path.is_relative_to(cwd) else path.parent


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
        return f"the patched script fails: {outcome.crash.splitlines()[0][:120]}"
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
        limit = reference + max(2 * abs(reference), 4 * min(spread, 10 * abs(reference)), 1.0)
        after = statistics.median(own[-WINDOW:])
        if after > limit and after > statistics.median(own[:WINDOW]) * 1.5:
            return f"finite, but the loss ends at {after:.3g} (it was {reference:.3g})"
    return ""


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
            return Outcome(crash="the process died")
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


def mirror(script: Script, patch: str | None, root: Path, probe: Probe | None = None) -> tuple[Path, Path]:
    """A stand-in for the script's folder and the working directory; returns (script, cwd) in it.

    Folders on the way to the patched files are real, everything else is a link; what is written goes to the stand-in
    (`checker.confine`). So a folder with a large data set costs nothing.
    """
    top, cwd = script.root, script.cwd.resolve()
    inside = root / "work"
    wanted = {script.path.resolve()}
    changed: dict[Path, str] = {}
    if patch:
        target = (top / patched_path(patch)).resolve()
        changed[target] = apply_patch(target.read_bytes().decode(), patch)
    if probe:
        target = (top / probe.file).resolve()
        before = target.read_bytes().decode()
        after = changed.get(target, before)
        changed[target] = probed(after, moved_line(before, after, probe.line)) or after
    wanted |= changed.keys()
    _link(top, inside, {p for p in wanted if p.is_relative_to(top)})
    for target, text in changed.items():
        (inside / target.relative_to(top)).write_bytes(text.encode())
    place = inside / script.path.resolve().relative_to(top)
    if cwd.is_relative_to(top):
        return place, inside / cwd.relative_to(top)
    elsewhere = root / "cwd"
    _link(cwd, elsewhere, set())
    return place, elsewhere


def _link(folder: Path, copy: Path, real: set[Path]) -> None:
    """Links for the entries of a folder, real folders and copies on the way to the files in `real`."""
    copy.mkdir(parents=True)
    for entry in folder.iterdir():
        below = {p for p in real if p.is_relative_to(entry)}
        if entry.resolve() in real and not entry.is_dir():
            shutil.copy2(entry, copy / entry.name)
        elif below and entry.is_dir():
            _link(entry, copy / entry.name, below)
        else:
            with contextlib.suppress(OSError):
                (copy / entry.name).symlink_to(entry.resolve())


class Server:
    """A process that has imported torch and forks a child for every trial; without fork, a fresh process each."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, str(CHECKER), "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )
        return self.process

    def run(self, spec: Path, budget: float) -> bool:
        """Whether the run ended within the budget (seconds); it is killed otherwise."""
        if not hasattr(os, "fork"):
            return self._alone(spec, budget)
        process = self.start()
        assert process.stdin and process.stdout
        try:
            process.stdin.write(f"{spec}\n")
            process.stdin.flush()
            pid = int(process.stdout.readline())
        except (OSError, ValueError):
            self.close()
            return self._alone(spec, budget)
        deadline, killed = time.monotonic() + budget, False
        try:
            while not self._ready(process, min(0.2, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline:
                    _kill(pid)
                    killed = True
                    break
        except BaseException:  # Ctrl-C must not leave the trial running
            _kill(pid)
            raise
        process.stdout.readline()
        return not killed

    @staticmethod
    def _ready(process: subprocess.Popen[str], wait: float) -> bool:
        import select

        assert process.stdout
        return bool(select.select([process.stdout], [], [], wait)[0])

    @staticmethod
    def _alone(spec: Path, budget: float) -> bool:
        process = subprocess.Popen(
            [sys.executable, str(CHECKER), str(spec)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(budget)
            return True
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            process.wait()
            return False

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None


def _kill(pid: int) -> None:
    """The whole session of a child: its data loader workers too."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


SERVER = Server()
atexit.register(SERVER.close)


def warm_up() -> None:
    """Start the process that trials fork from, so that its import of torch overlaps with other work."""
    if hasattr(os, "fork"):
        SERVER.start()
