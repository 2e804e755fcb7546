"""Names of modules: which qualified name, below which root, a module at work has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

Roots = Callable[[], Mapping[str, torch.nn.Module]]


class ModuleNames:
    """Qualified names of the modules below the roots, as a training script knows them ("" is the root itself).

    Names are relative to the root, as `named_modules()` gives them; the keys of the roots only tell them apart. The
    lookup is refreshed when an unknown module is asked for, because models grow while a script builds them.
    """

    def __init__(self, roots: Roots | None) -> None:
        self._roots = roots
        self._names: dict[int, tuple[str, torch.nn.Module]] = {}
        self._unknown: dict[int, Any] = {}
        self.refresh()

    def refresh(self) -> None:
        roots = self._roots() if self._roots is not None else {}
        self._names = {}
        self._unknown = {}
        for module in roots.values():
            for path, child in module.named_modules():
                self._names.setdefault(id(child), (path, child))

    def known(self, module: Any) -> bool:
        """Without roots every module counts as known: the innermost one is then the answer's best guess."""
        return self._roots is None or id(module) in self._names

    def __call__(self, module: Any) -> str | None:
        if id(module) not in self._names and id(module) not in self._unknown:
            self.refresh()
            self._unknown[id(module)] = module
        found = self._names.get(id(module))
        return found[0] if found else None
