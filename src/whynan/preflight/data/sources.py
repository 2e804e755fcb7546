"""Where a program keeps its data, and what it calls them: the items of its loop, its loaders, its tables."""

from __future__ import annotations

import ast
import contextlib
import gc
import linecache
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from whynan.preflight.data.scan import arrays
from whynan.replay.names import flatten
from whynan.watch.frames import read_locals

if TYPE_CHECKING:
    from whynan.watch.loops import LoopRun
    from whynan.watch.watcher import Watcher

LEAST = 8  # rows of a table


def feeds(item: Any) -> bool:
    """Does the item of a loop hold tensors or arrays?"""
    return next(flatten(item), None) is not None or next(iter(arrays(item)), None) is not None


def names(run: LoopRun) -> dict[str, str]:
    """Place in the batch -> the variable it is bound to: by the head of the loop, else by its body."""
    bound = {id(value): name for name, value in read_locals(run.frame).items() if not name.startswith("_")}
    by_body = {path: bound[id(tensor)] for path, tensor in flatten(run.item) if id(tensor) in bound}
    return by_body | _targets(run)


def without_index(found: dict[str, str]) -> dict[str, str]:
    """The names for the batches of a DataLoader whose loop counts them: `for i, (x, y) in enumerate(loader)`."""
    return {path.removeprefix("[1]"): name for path, name in found.items() if path.startswith("[1]")} or found


def _targets(run: LoopRun) -> dict[str, str]:
    """`for i, (x, y) in ...` -> {"[0]": "i", "[1][0]": "x", "[1][1]": "y"}."""
    found: dict[str, str] = {}
    with contextlib.suppress(SyntaxError, ValueError):
        tree = ast.parse("".join(linecache.getlines(run.site.file)))
        for node in ast.walk(tree):
            if isinstance(node, ast.For) and (node.lineno, node.col_offset) == (run.site.line, run.site.column):
                _places(node.target, "", found)
    return found


def _places(target: ast.expr, path: str, found: dict[str, str]) -> None:
    if isinstance(target, ast.Name):
        found[path] = target.id
    elif isinstance(target, (ast.Tuple, ast.List)):
        for i, part in enumerate(target.elts):
            _places(part, f"{path}[{i}]", found)


def running_loader(watcher: Watcher) -> Any:
    """The DataLoader that the program draws from, else any that is alive; None where there is none."""
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), DataLoader)]
    running = watcher.drawn.dataset()
    return min(found, key=lambda loader: loader.dataset is not running, default=None)


def tables(run: LoopRun) -> dict[str, Any]:
    """Tensors, arrays and columns of data frames that look like data: several rows, no parameter, no gradient."""
    found: dict[str, Any] = {}
    for name, value in {**run.frame.f_globals, **read_locals(run.frame)}.items():
        if name.startswith("_"):
            continue
        for label, table in _tables_of(name, value):
            if not getattr(table, "requires_grad", False) and len(table.shape) >= 1 and table.shape[0] >= LEAST:
                found[label] = table
    return found


def _tables_of(name: str, value: Any) -> list[tuple[str, Any]]:
    module, kind = type(value).__module__.partition(".")[0], type(value).__name__
    if isinstance(value, torch.Tensor) or (module == "numpy" and kind == "ndarray" and value.dtype.kind in "fiub"):
        return [(name, value)]
    if module == "pandas" and kind == "DataFrame":
        return [
            (f"{name}[{column!r}]", value[column].to_numpy())
            for column in value.columns
            if getattr(value[column].dtype, "kind", "O") in "fiub"
        ]
    return []
