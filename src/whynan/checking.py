"""`whynan check SCRIPT`: the script's own set-up, its own loader, one of its own steps; then it is ended.

The program runs under watch until its training loop has finished one update. That iteration is executed again with
hooks on every layer and under the microscope, once more with the recommended initialization, and the loader is looked
through. A second process repeats the set-up with uninitialised memory filled with NaN and says what it meets.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import linecache
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whynan.case.paths import shortened
from whynan.case.preflight import Preflight, Problem
from whynan.config import Config
from whynan.session import Session
from whynan.watch.script import Outcome as Ended

if TYPE_CHECKING:
    from whynan.investigation import Target
    from whynan.watch.attempts import Attempt, Attempts, Outcome
    from whynan.watch.loops import LoopRun
    from whynan.watch.sentinel import Seen
    from whynan.watch.watcher import Watcher

MEMORY = "uninitialised memory"  # kind of the goal of the second process
FOUND, NOTHING_TO_CHECK = 1, 2  # exit status


class Checking(Session):
    """One `whynan check`. `answer` is what it found, None where the program never came to a training step."""

    def __init__(self, target: Target, config: Config, *, seconds: float) -> None:
        super().__init__(target, config)
        self.seconds = seconds
        self.answer: Preflight | None = None

    def attach(self, watcher: Watcher) -> None:
        super().attach(watcher)
        watcher.explain_with(self.examine)
        watcher.fallback = lambda seen: None
        watcher.extra = self._one_step_is_done
        if self.goal is not None and self.goal["kind"] == MEMORY:
            import torch

            torch.use_deterministic_algorithms(True, warn_only=True)  # fills what torch.empty gives with NaN

    def _one_step_is_done(self) -> Seen | None:
        from whynan.watch.sentinel import Seen

        assert self.watcher is not None
        return Seen("loss", None, "nan", [], self.watcher.sentinel.steps, hard=False)

    def examine(self, run: LoopRun, attempts: Attempts) -> Generator[Attempt, Outcome, bool]:
        """Called in the user's loop after its first update, or when that fails."""
        from whynan.preflight.check import put_together
        from whynan.preflight.initialization import compared, rules_of
        from whynan.preflight.layers import LayerProbe
        from whynan.replay.names import root_modules
        from whynan.replay.scope import Scope
        from whynan.watch.attempts import Attempt
        from whynan.watch.userfiles import is_user_file

        assert run.record is not None
        record = run.record
        if self.goal is not None:
            self._answer_about_memory(record)
        snapshot = record.at_or_before(record.update_start(run.index)) or record.at_or_before(run.index)
        if snapshot is None:
            return True
        roots = root_modules(snapshot.modules)
        models = list(roots.values())
        optimizers = list(snapshot.optimizers)
        names = _names(run)
        probe, scope = LayerProbe(models), Scope(is_user_file=is_user_file, roots=lambda: roots)
        with self._progress() as progress:
            progress.stage("looking at one step")
            yield Attempt(snapshot=snapshot, until=run.index, around=_around(probe, scope), stop_at_symptom=False)
            rules = rules_of(models, scope.trace)
            again = LayerProbe(models)
            yield from self._initialised(rules, models, snapshot, run.index, again)
            progress.stage("looking through the data", self.seconds)
            scan = self._scan(run, names)
            progress.stage("looking for uninitialised memory", self._patience(), log=False)
            more = [*self._memory(), *self._source()]
        layers = compared(probe.layers(), again.layers(), rules)
        answer = put_together(self.target.name, probe, scope.trace, scan, optimizers, layers, more)
        self.answer = _with_short_paths(answer, self.folder)
        return True

    def _initialised(
        self, rules: dict[str, str], models: list[Any], snapshot: Any, until: int, again: Any
    ) -> Generator[Attempt, Outcome, None]:
        from whynan.preflight.initialization import initialised_as_recommended
        from whynan.watch.attempts import Attempt

        if not rules:
            return
        with contextlib.ExitStack() as stack:

            def prepare() -> None:
                stack.enter_context(initialised_as_recommended(models, rules))

            yield Attempt(snapshot=snapshot, until=until, prepare=prepare, around=_around(again), stop_at_symptom=False)

    # the data --------------------------------------------------------------------------------------------------

    def _scan(self, run: LoopRun, names: dict[str, str]) -> Any:
        """The loaders of the program, the one of the training loop first; else the tensors that it has at hand."""
        from whynan.preflight.data.scan import look_through

        assert self.watcher is not None
        for loader in _loaders(self.watcher):
            return look_through(loader, seconds=self.seconds, names=names, indices=self.watcher.drawn.latest)
        tables = _tables(run)
        batches = [tables] if tables else [run.item]
        own = {f"[{name!r}]": name for name in tables}
        return look_through(batches, seconds=self.seconds, names=own or names)

    # what only another process, or the source, can tell -----------------------------------------------------------

    def _answer_about_memory(self, record: Any) -> None:
        from whynan.replay import rerun
        from whynan.replay.names import Names, root_modules

        assert self.goal is not None
        first = record.snapshots[0]
        names = Names(root_modules(first.modules), first.optimizers)
        floats = [e for e in first.entries.values() if e.tensor.is_leaf and e.tensor.is_floating_point()]
        bad = [names.of(e.tensor) for e in floats if e.copy is not None and bool(e.copy.isnan().any())]
        rerun.answer(self.goal, {"found": True, "bad": [known.name for known in bad if known is not None]})

    def _memory(self) -> Iterator[Problem]:
        if self.spare is None:
            return
        reply = self.spare.rerun({"kind": MEMORY}, self._patience()) or {}
        for name in reply.get("bad", []):
            yield Problem(
                part="initialization", kind="uninitialised-memory", severity="error", where=name,
                message="was allocated and never filled: its values are whatever the memory held",
                measured="NaN in a second run that fills new memory with NaN", causes=("uninitialized-memory",),
                remedy="torch.zeros(...), or fill it: nn.init.xavier_uniform_(...)",
            )  # fmt: skip

    def _source(self) -> Iterator[Problem]:
        """What the source says: clip after step, clip before unscale, no zero_grad, and the rest of `whynan lint`."""
        from whynan.lint.engine import lint_text

        script = Path(self.folder, self.target.name)
        if self.target.kind != "script" or not script.is_file():
            return
        for found in lint_text(script.read_text(encoding="utf-8", errors="replace"), self.target.name):
            yield Problem(
                part="source", kind=f"{found.code} {found.name}", severity="warning",
                where=f"{found.file}:{found.line}", message=found.message, measured=(found.source or "").strip(),
                file=found.file, line=found.line, remedy=f"whynan explain {found.code}",
            )  # fmt: skip

    # the end ---------------------------------------------------------------------------------------------------

    def _end(self, outcome: Ended) -> int:
        if self.answer is None:
            outcome.print_traceback()
            return outcome.status or NOTHING_TO_CHECK
        return FOUND if self.answer.verdict == "problems" else 0


def _with_short_paths(answer: Preflight, folder: str) -> Preflight:
    def short(thing: Any) -> Any:
        if thing.file is None:
            return thing
        file = shortened(thing.file, folder)
        named = {"where": f"{file}:{thing.line}"} if getattr(thing, "where", "").startswith(thing.file) else {}
        return replace(thing, file=file, **named)

    return replace(answer, problems=tuple(map(short, answer.problems)), edges=tuple(map(short, answer.edges)))


def _around(*contexts: Any) -> Any:
    @contextlib.contextmanager
    def active(index: int) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context)
            yield

    return active


def _names(run: LoopRun) -> dict[str, str]:
    """Place in the batch -> the variable it is bound to: by the head of the loop, else by its body."""
    from whynan.replay.names import flatten
    from whynan.watch.frames import read_locals

    bound = {id(value): name for name, value in read_locals(run.frame).items() if not name.startswith("_")}
    by_body = {path: bound[id(tensor)] for path, tensor in flatten(run.item) if id(tensor) in bound}
    return by_body | _targets(run)


def _targets(run: LoopRun) -> dict[str, str]:
    """`for i, (x, y) in ...` -> {"[1][0]": "x", ...}; of a DataLoader in `enumerate` the index is left out."""
    found: dict[str, str] = {}
    with contextlib.suppress(SyntaxError, ValueError):
        tree = ast.parse("".join(linecache.getlines(run.site.file)))
        for node in ast.walk(tree):
            if isinstance(node, ast.For) and (node.lineno, node.col_offset) == (run.site.line, run.site.column):
                target: ast.expr = node.target
                if isinstance(target, ast.Tuple) and len(target.elts) == 2 and "enumerate" in ast.unparse(node.iter):
                    target = target.elts[1]
                _places(target, "", found)
    return found


def _places(target: ast.expr, path: str, found: dict[str, str]) -> None:
    if isinstance(target, ast.Name):
        found[path] = target.id
    elif isinstance(target, (ast.Tuple, ast.List)):
        for i, part in enumerate(target.elts):
            _places(part, f"{path}[{i}]", found)


def _loaders(watcher: Watcher) -> list[Any]:
    """DataLoaders that are alive; that of the running iterator first."""
    from torch.utils.data import DataLoader

    found = [thing for thing in gc.get_objects() if issubclass(type(thing), DataLoader)]
    running = watcher.drawn.dataset()
    return sorted(found, key=lambda loader: loader.dataset is not running)


def _tables(run: LoopRun) -> dict[str, Any]:
    """Tensors and arrays of the program that look like data: several rows, no parameter, no gradient."""
    import torch

    from whynan.watch.frames import read_locals

    variables = {**run.frame.f_globals, **read_locals(run.frame)}
    tables = {}
    for name, value in variables.items():
        array = type(value).__module__ == "numpy" and type(value).__name__ == "ndarray"
        if name.startswith("_") or not (array or isinstance(value, torch.Tensor)):
            continue
        if not getattr(value, "requires_grad", False) and len(value.shape) >= 1 and value.shape[0] >= 8:
            tables[name] = value
    return tables
