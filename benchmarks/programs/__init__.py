"""Training programs, as a user would write them, and the two ways to load one: bare, and rewritten to be watched."""

from __future__ import annotations

import builtins
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from whynan.watch.budget import SNAPSHOTS
from whynan.watch.hooks import Hooks
from whynan.watch.source import NAMES, SiteTable, rewrite
from whynan.watch.watcher import Watcher

HERE = Path(__file__).resolve().parent


class Program:
    """One program, its model and data built once, to be trained bare or watched in turns."""

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self.path = HERE / f"{name}.py"
        self.sites = SiteTable()
        self._bare = self._load(f"bare_{name}", compile(self.path.read_text(), "bare", "exec"))
        self._watched = self._load(f"watched_{name}", rewrite(self.path.read_text(), str(self.path), self.sites))
        self.state = self._watched.build(**options)
        self.watcher: Watcher | None = None

    def _load(self, name: str, code: Any) -> ModuleType:
        module = ModuleType(name)
        module.__file__ = str(self.path) if name.startswith("watched") else None
        sys.modules[name] = module  # classes are looked up there
        exec(code, module.__dict__)
        return module

    def train(self, steps: int) -> None:
        self._bare.train(*self.state, steps)

    @contextlib.contextmanager
    def bare(self) -> Iterator[Callable[[int], None]]:
        yield self.train

    @contextlib.contextmanager
    def watched(self, share: float = SNAPSHOTS) -> Iterator[Callable[[int], None]]:
        """Under whynan, with what it learned in earlier blocks, as in one long run."""
        if self.watcher is None:
            self.watcher = Watcher(self.sites, lambda path: path == str(self.path), share=share)
        else:
            self.watcher.hooks = Hooks(self.watcher.sentinel, self.watcher.loops)
        loops = self.watcher.loops
        loops.enabled = loops.optimizers_exist = True
        functions = (loops.for_, loops.while_, loops.done, loops.caught, loops.next_, loops.leave)
        for name, function in zip(NAMES, functions, strict=True):
            setattr(builtins, name, function)
        try:
            yield lambda steps: self._watched.train(*self.state, steps)
        finally:
            self.watcher.hooks.remove()
