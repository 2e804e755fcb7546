"""Training programs, as a user would write them, and the two ways to load one: bare, and rewritten to be watched."""

from __future__ import annotations

import builtins
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from whynan.config import Config
from whynan.investigation import Target
from whynan.ongoing import Ongoing
from whynan.watch.dataloader import DrawnIndices
from whynan.watch.hooks import Hooks
from whynan.watch.source import SiteTable, rewrite
from whynan.watch.watcher import Watcher

WARM = 50  # steps
HERE = Path(__file__).resolve().parent
SETTINGS: dict[str, Any] = {"rerun": False, "fixes": False, "case": False, "why_budget": 0.0}  # for after an alarm


class Program:
    """One program, its model and data built once, to be trained bare or watched in turns."""

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self.path = HERE / f"{name}.py"
        self.sites = SiteTable()
        self._bare = self._load(f"bare_{name}", compile(self.path.read_text(), "bare", "exec"))
        self._watched = self._load(f"watched_{name}", rewrite(self.path.read_text(), str(self.path), self.sites))
        self.state = self._watched.build(**options)
        self.compiled = bool(options.get("compiled"))
        self._start: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.watches: dict[tuple[tuple[str, Any], ...], Ongoing] = {}  # by their settings

    def _load(self, name: str, code: Any) -> ModuleType:
        module = ModuleType(name)
        module.__file__ = str(self.path) if name.startswith("watched") else None
        sys.modules[name] = module  # classes are looked up there
        exec(code, module.__dict__)
        return module

    def train(self, steps: int) -> None:
        self._bare.train(*self.state, steps)

    def rewind(self) -> None:
        """Back to where training was after `WARM` steps: in long measurements it would otherwise learn its few batches
        by heart, and loops with gradients of 1e-30 are not what anybody runs."""
        if not self._start:
            self.train(WARM)
            self._start = [(t, t.detach().clone()) for t in self._tensors()]
        with torch.no_grad():
            for tensor, then in self._start:
                tensor.copy_(then)

    def _tensors(self) -> list[torch.Tensor]:
        model, optimizer, *_ = self.state
        states = [value for state in optimizer.state.values() for value in state.values()]
        return [*model.parameters(), *model.buffers(), *(t for t in states if isinstance(t, torch.Tensor))]

    @contextlib.contextmanager
    def bare(self) -> Iterator[Callable[[int], None]]:
        yield self.train

    @contextlib.contextmanager
    def watched(self, **settings: Any) -> Iterator[Callable[[int], None]]:
        """Under what `whynan run` puts over a program, early warnings included, with what it learned in earlier blocks,
        as in one long run. `settings`: of `Config`, for instance `warnings=False`."""
        watcher = self._watch(settings).watcher
        assert watcher is not None
        vars(builtins).update(watcher.loops.names())
        try:
            yield lambda steps: self._watched.train(*self.state, steps)
        finally:
            watcher.hooks.remove()
            watcher.drawn.undo()

    def _watch(self, settings: dict[str, Any]) -> Ongoing:
        key = tuple(sorted(settings.items()))
        watch = self.watches.get(key)
        if watch is None:
            config = Config(**SETTINGS | settings)
            watch = self.watches[key] = Ongoing(Target("script", str(self.path)), config)
            watch.before_watching()
            shares = {"share": config.snapshot_share, "memory_mb": config.memory_mb}
            watch.attach(Watcher(self.sites, lambda path: path == str(self.path), **shares))
        else:  # what `watched` took out at the end of the block before
            assert watch.watcher is not None
            watch.watcher.hooks = Hooks(watch.watcher.sentinel, watch.watcher.loops)
            watch.watcher.drawn = DrawnIndices()
        assert watch.watcher is not None
        watch.watcher.loops.optimizers_exist = True
        if self.compiled or watch.watcher.sentinel.backwards:  # what `torch.compile`, or the first backward, does there
            watch.watcher.hooks._training_begins()
        return watch
