"""Patches for a finding: candidates of the remedy room, applied to the definitions of the file, and run on inputs.

A formula with two faults needs two edits: where no candidate cures alone, the best one is written to a copy of the
file, the failure is explained again there, and the search goes on from the copy. Nothing of the user's file is executed
again but its functions and classes (in a copy of the module's names), so that a file which trains at import is not
trained once more for every candidate.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from whynan.case.facts import Report, Run
from whynan.preflight.fuzz.explain import Explained, explain
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Outcome, Prober, Values
from whynan.preflight.fuzz.redefine import redefined
from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import unified_diff
from whynan.remedy.plan import candidates
from whynan.remedy.trials import Script

CLASSES = ("stable-formulation", "clamp", "add-eps", "safe-where", "guard-empty", "mask-safe-softmax", "add-jitter",
           "full-precision")  # fmt: skip
"""Remedies that change a formula; those of training loops are for `whynan run`."""
MOST = 30
DEEP = 3  # edits, one after another
SAME = {torch.float64: 1e-4, torch.float32: 1e-3}  # relative and absolute; 3e-2 for half precision
Example = tuple[Plan, Values]


@dataclass(frozen=True)
class Cure:
    """A patch, and what was seen: finite on all `failing` inputs, `equal` of `compared` others unchanged."""

    class_: str
    title: str
    patch: str
    prober: Prober
    failing: int
    equal: int
    compared: int

    @property
    def unchanged(self) -> bool:
        return self.equal == self.compared > 0


@dataclass(frozen=True)
class _Step:
    """One candidate that was run."""

    candidate: Candidate
    prober: Prober
    equal: int
    cures: bool
    explained: Explained | None = None  # where the first failing input that is left fails now


class Surgeon:
    """Looks for one patch. `failing` starts with the smallest input; `others` are those with a finite value."""

    def __init__(self, prober: Prober, failing: Sequence[Example], others: Sequence[Example], seconds: float) -> None:
        self.prober, self.failing, self.others = prober, failing, others
        self.deadline = time.process_time() + seconds  # of work: other programs must not cost a patch
        self.before = [prober(*example, gradient=False) for example in others]
        self.original = ""

    def cure(self, explained: Explained) -> Cure | None:
        """A patch that makes every failing input finite, if possible one that changes nothing else. None: no
        candidate does, or the function cannot be built from its file."""
        file = self.prober.target.file
        if file is None or explained.birth.file is None or Path(explained.birth.file).resolve() != Path(file).resolve():
            return None
        self.original = Path(file).read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            found = self._search(explained, Path(file), Path(folder), 0, ())
        return found if found is not None and found.equal * 2 >= found.compared else None

    def _search(
        self, explained: Explained, file: Path, folder: Path, depth: int, path: tuple[_Step, ...]
    ) -> Cure | None:
        best: _Step | None = None
        onward: list[_Step] = []
        for step in self._steps(explained, file):
            if step.cures:
                if step.equal == len(self.others):
                    best = step
                    break
                if best is None or step.equal > best.equal:
                    best = step
            elif step.explained is not None:
                onward.append(step)
        if best is not None:
            return self._as_cure((*path, best), file)
        onward.sort(key=lambda s: -s.equal)
        for step in onward[:2] if depth + 1 < DEEP else ():
            copy = folder / f"{file.stem}_{depth}.py"
            copy.write_text(step.candidate.after, encoding="utf-8")
            again = self._explained(step.candidate.after, copy)
            found = self._search(again, copy, folder, depth + 1, (*path, step)) if again is not None else None
            if found is not None:
                return found
        return None

    def _steps(self, explained: Explained, file: Path) -> Iterator[_Step]:
        report = Report(verdict="nonfinite", run=Run(script=str(file)), birth=explained.birth, causes=explained.causes)
        script = Script(file, cwd=Path.cwd() if file.is_relative_to(Path.cwd()) else file.parent)
        for candidate in [c for c in candidates(report, script) if c.class_ in CLASSES][:MOST]:
            if time.process_time() > self.deadline:
                return
            patched = redefined(self.prober, candidate.after, str(file))
            if patched is None or candidate.source.path.resolve() != file.resolve():
                continue
            outcomes = [patched(*example) for example in self.failing]
            if any(o.error is not None for o in outcomes):
                continue
            equal = sum(same(a, patched(*e, gradient=False)) for a, e in zip(self.before, self.others))
            if all(o.fine for o in outcomes):
                yield _Step(candidate, patched, equal, True)
            elif sum(o.fine for o in outcomes) > 0 or explained.birth.phase == "forward":
                left = next(e for e, o in zip(self.failing, outcomes) if not o.fine)
                place = explain(patched, *left)
                if place is not None and place.birth.expression != explained.birth.expression:
                    yield _Step(candidate, patched, equal, False, place)

    def _explained(self, text: str, file: Path) -> Explained | None:
        patched = redefined(self.prober, text, str(file))
        if patched is None:
            return None
        left = next((e for e in self.failing if not patched(*e).fine), None)
        return explain(patched, *left, files=(str(file),)) if left is not None else None

    def _as_cure(self, path: tuple[_Step, ...], file: Path) -> Cure:
        last = path[-1]
        name = path[0].candidate.source.rel
        patch = unified_diff(self.original, last.candidate.after, name)
        titles = "; ".join(dict.fromkeys(s.candidate.title for s in path))
        class_, failing, others = path[0].candidate.class_, len(self.failing), len(self.others)
        return Cure(class_, titles, patch, last.prober, failing, last.equal, others)


def same(before: Outcome, after: Outcome) -> bool:
    """Equal values, within the rounding of the coarser dtype."""
    if after.error is not None or after.what == "value" or len(before.outputs) != len(after.outputs):
        return False
    for a, b in zip(before.outputs, after.outputs):
        tolerance = max(SAME.get(a.dtype, 3e-2), SAME.get(b.dtype, 3e-2))
        wide = torch.complex128 if a.is_complex() else torch.float64
        if a.shape != b.shape or not torch.allclose(a.to(wide), b.to(wide), rtol=tolerance, atol=tolerance):
            return False
    return True
