"""Everything that a recorded case holds beside the report, gathered while it is still there.

The slice comes from the trace right after the birth was located, before any experiment writes to the tensors that it
looks at. Batch, state and random state are taken at the beginning of the failing iteration, which is executed once
more for that. What does not fit the budget is left out in the order state, batch, slice, and the case says so.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from whynan.case import strict_json
from whynan.case.contents import ABSENT, ENVIRONMENT, HISTORY, HISTORY_SCHEMA, README, TENSORS, readme, write_text
from whynan.replay import batchfile, slicefile, statefile
from whynan.replay.births import Finding
from whynan.replay.environment import environment
from whynan.replay.locate import Located
from whynan.replay.names import Names, root_modules
from whynan.replay.slicing import slice_of
from whynan.replay.trace import Trace
from whynan.watch.attempts import Attempt, Outcome
from whynan.watch.frames import read_locals
from whynan.watch.history import total
from whynan.watch.loops import LoopRun
from whynan.watch.randomness import RandomState
from whynan.watch.snapshot import Snapshot
from whynan.watch.watcher import Watcher

SLICE_TO = "slice_to"  # in a goal: the folder into which a re-run from the start writes the slice that it found
_MOST_NORMS = 50_000  # numbers per series; above that the history has totals only


class Evidence:
    """What was gathered. `absent` says in sentences what is missing and why."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # bytes
        self.used = 0
        self.absent: list[str] = []
        self.program: slicefile.HeldProgram | None = None
        self.shipped: Path | None = None  # a folder with a slice from a re-run
        self.batch: batchfile.HeldBatch | None = None
        self.state: statefile.HeldState | None = None
        self.random: statefile.HeldRandom | None = None
        self.history: dict[str, Any] = {}
        self.environment = environment()

    def fits(self, pool: Any, what: str) -> bool:
        """Take `pool` into the budget, and copy it; a sentence in `absent` if there is no room."""
        if self.used + pool.nbytes > self.limit:
            self.absent.append(f"{what}: {_mib(pool.nbytes)}, and the case may take {_mib(self.limit)} (case_mb).")
            return False
        self.used += pool.nbytes
        pool.freeze()
        return True

    def write(self, folder: Path, root: str, name: str) -> None:
        """Put the files into the draft of a case folder. OSError where the disk refuses."""
        tensors = folder / TENSORS
        tensors.mkdir()
        for what in ("program", "shipped", "batch", "state", "random"):
            try:
                self._write_part(what, tensors, root)
            except OSError:
                raise
            except Exception as error:  # no safetensors, a defect of ours: that part is missing, and no more
                self.absent.append(f"{what}: it could not be written ({type(error).__name__}: {error}).")
        write_text(folder / HISTORY, strict_json.dumps(self.history))
        write_text(folder / ENVIRONMENT, strict_json.dumps(self.environment, indent=1))
        write_text(folder / ABSENT, strict_json.dumps(self.absent, indent=1))
        write_text(folder / README, readme(name, self.absent))

    def _write_part(self, what: str, tensors: Path, root: str) -> None:
        if self.program is not None and what == "program":
            self.program.write(tensors, root)
        elif self.shipped is not None and what == "shipped":
            for file in (slicefile.JSON, slicefile.TENSORS):
                shutil.copyfile(self.shipped / file, tensors / file)
        elif what in ("batch", "state", "random") and (part := getattr(self, what)) is not None:
            part.write(tensors)


def gather(
    located: Located, watcher: Watcher, limit: int, shipped: Path | None = None
) -> Generator[Attempt, Outcome, Evidence]:
    """Gather the evidence; executes the failing iteration once more where there is a loop. Never raises."""
    evidence = Evidence(limit)
    with contextlib.suppress(Exception):
        evidence.history = history(watcher)
    try:
        _take_slice(evidence, located, shipped)
    except Exception as error:
        evidence.absent.append(f"the slice could not be taken ({type(error).__name__}: {error}).")
    run, record = located.run, located.run.record if located.run is not None else None
    if run is None or record is None or not record.snapshots:
        evidence.absent.append("batch and state: no loop of the program contains the failing step.")
        return evidence
    iteration = located.iteration
    if located.birth is not None and located.birth.iteration is not None and located.birth.phase != "init":
        iteration = min(iteration, located.birth.iteration)
    index = iteration - run.first
    snapshot = record.at_or_before(index) or record.at_or_before(run.index)
    if snapshot is None:
        evidence.absent.append("batch and state: no snapshot reaches the failing iteration.")
        return evidence
    index = max(index, snapshot.index)
    around = _at(index, lambda: _take_state(evidence, run, snapshot, watcher, run.first + index))
    yield Attempt(snapshot=snapshot, until=index, around=around)
    if evidence.random is None and not any(what.startswith("batch and state") for what in evidence.absent):
        evidence.absent.append("batch and state: the failing iteration could not be reached again.")
    return evidence


def _at(index: int, act: Callable[[], None]) -> Callable[[int], Any]:
    @contextlib.contextmanager
    def around(number: int) -> Generator[None, None, None]:
        if number == index:
            act()
        yield

    return around


def _take_slice(evidence: Evidence, located: Located, shipped: Path | None) -> None:
    if shipped is not None and (shipped / slicefile.JSON).is_file() and (shipped / slicefile.TENSORS).is_file():
        evidence.shipped = shipped
        evidence.used += (shipped / slicefile.TENSORS).stat().st_size
        return
    finding, trace = located.finding, located.trace
    if finding is None or trace is None or finding.birth is None:
        why = "no op of PyTorch made the bad value" if located.birth is not None else "the birth was not found"
        evidence.absent.append(f"the slice: {why}.")
        return
    names = located.names
    program = slice_of(trace, finding, names.of if names is not None else None, evidence.limit)
    held = slicefile.HeldProgram(program) if program is not None else None
    if held is None or not held.whole:
        op = finding.birth.op
        evidence.absent.append(
            f"the slice: {op} could not be recorded so that it fails again within {_mib(evidence.limit)}."
        )
    elif evidence.fits(held.pool, "the slice"):
        held.freeze()
        evidence.program = held


def _take_state(evidence: Evidence, run: LoopRun, snapshot: Snapshot, watcher: Watcher, iteration: int) -> None:
    """At the beginning of the failing iteration: its item, the state, the random states."""
    try:
        evidence.random = statefile.HeldRandom(RandomState())
        evidence.random.pool.freeze()
        batch = batchfile.HeldBatch(run.item)
        if batch.described:
            kept_out = ", ".join(batch.described[:4])
            evidence.absent.append(f"of the batch: {kept_out}, which are no tensors, arrays, numbers or text.")
        if evidence.fits(batch.pool, "the batch"):
            evidence.batch = batch
        variables = read_locals(run.frame)
        named = statefile.named_state(root_modules(snapshot.modules), snapshot.optimizers, variables)
        state = statefile.HeldState(named, snapshot.optimizers, watcher.sentinel.steps, iteration)
        if evidence.fits(state.pool, "the state (parameters, buffers, optimizer state, gradients)"):
            evidence.state = state
    except Exception as error:
        evidence.absent.append(f"batch and state could not be taken ({type(error).__name__}: {error}).")


def ship(goal: dict[str, Any], trace: Trace | None, finding: Finding | None, names: Names | None = None) -> None:
    """In a re-run from the start: write the slice of the birth where the watched process will look for it."""
    if SLICE_TO not in goal or trace is None or finding is None:
        return
    with contextlib.suppress(Exception):
        program = slice_of(trace, finding, names.of if names is not None else None, int(goal["slice_limit"]))
        held = slicefile.HeldProgram(program) if program is not None else None
        if held is not None and held.whole:
            held.freeze()
            held.write(Path(goal[SLICE_TO]), goal.get("slice_root"))


def shipping(limit: int, root: str) -> tuple[tempfile.TemporaryDirectory[str], dict[str, Any]]:
    """A folder for the slice that a re-run may find, and what has to go with the goal for that."""
    folder = tempfile.TemporaryDirectory(prefix="whynan-slice-", ignore_cleanup_errors=True)
    return folder, {SLICE_TO: folder.name, "slice_limit": limit, "slice_root": root}


def affordable(case_mb: float, base: str) -> int:
    """Bytes of tensors that a case may take: as configured, and never more than half of what the disk has left."""
    place = Path(base).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        free = 1 << 62
    return min(int(case_mb * (1 << 20)), free // 2)


def history(watcher: Watcher) -> dict[str, Any]:
    """All series that were kept, none thinned, and norms per parameter tensor where they are not too many."""
    kept = watcher.sentinel.history
    found: dict[str, Any] = {"schema": HISTORY_SCHEMA, "series": {}}
    rows: dict[str, list[tuple[int, Any]]] = {
        "loss": [(step, value) for _, step, value in kept.loss],
        "grad_norm": [(step, total(norms)) for step, _, norms in kept.grad_norms],
        "param_norm": [(step, total(norms)) for step, _, norms in kept.param_norms],
        "lr": [(step, max(rates, default=None)) for step, _, rates in kept.lr],
    }
    for name, pairs in rows.items():
        if pairs:
            found["series"] |= {f"{name}_step": [step for step, _ in pairs], name: [value for _, value in pairs]}
    per_tensor: tuple[tuple[str, Any], ...] = (
        ("gradient norms", kept.grad_norms),
        ("parameter norms", kept.param_norms),
    )
    for name, norms_of in per_tensor:
        if sum(len(norms) for _, _, norms in norms_of) <= _MOST_NORMS:
            found[name] = [[step, norms] for step, _, norms in norms_of]
    return found


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
