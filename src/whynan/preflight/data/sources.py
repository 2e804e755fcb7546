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
    from whynan.replay.trace import Trace
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


def batch_names(run: LoopRun) -> dict[str, str]:
    """Place in a batch -> name, for the batches of the loader that a loop counts or not."""
    found = names(run)
    counted = isinstance(run.item, tuple) and bool(run.item) and type(run.item[0]) is int
    return without_index(found) if counted else found


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


def bound_before(run: LoopRun) -> dict[str, Any]:
    """The variables that the body of the loop sees, as they were before it: what it binds itself is a batch."""
    assert run.record is not None
    before = run.record.at_or_before(run.index)
    bound = before.locals if before is not None else read_locals(run.frame)
    outer = run.frame.f_globals if run.frame.f_globals is not run.frame.f_locals else {}
    return {name: value for name, value in {**outer, **bound}.items() if not name.startswith("_")}


def tables(run: LoopRun) -> dict[str, Any]:
    """Tensors, arrays and columns of data frames that look like data: several rows, no gradient, no mask."""
    found: dict[str, Any] = {}
    for name, value in bound_before(run).items():
        for label, table in tables_of(name, value):
            if getattr(table, "requires_grad", False) or len(table.shape) < 1 or table.shape[0] < LEAST:
                continue
            if not _is_mask(table):
                found[label] = table
    return found


def read_by(trace: Trace, found: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """(those tables whose memory the step read, all if it read none: it copied them; those that gave it NaN or Inf)."""
    read: set[str] = set()
    gave: set[str] = set()
    places = {label: place for label, table in found.items() if (place := _memory_of(table)) is not None}
    looked_at: set[int] = set()
    for ref in (ref for record in trace.records for ref in record.inputs):
        if id(ref.area) in looked_at or (values := ref.area.tensor) is None or values.device.type != "cpu":
            continue
        looked_at.add(id(ref.area))
        address = values.data_ptr()
        for label, (start, size) in places.items():
            if start <= address < start + size:
                read.add(label)
                if ref.bad:
                    gave.add(label)
    return ({label: found[label] for label in found if label in read} or found), gave


def _memory_of(table: Any) -> tuple[int, int] | None:
    """(address, bytes)."""
    if isinstance(table, torch.Tensor):
        if table.layout is not torch.strided or table.device.type != "cpu":
            return None
        return table.untyped_storage().data_ptr(), table.untyped_storage().nbytes()
    return table.__array_interface__["data"][0], table.nbytes


def _is_mask(table: Any) -> bool:
    """One finite number at most, and infinities: added to scores, it is no data."""
    values = table.detach() if isinstance(table, torch.Tensor) else table
    if str(values.dtype).endswith("bool"):
        return True
    if not _may_be_infinite(values):
        return False
    flat = torch.as_tensor(values).reshape(-1)
    finite = flat[flat.isfinite()]
    return len(finite) < len(flat) and not bool(flat.isnan().any()) and bool((finite == finite[:1]).all())


def _may_be_infinite(values: Any) -> bool:
    kind = getattr(values.dtype, "kind", None)
    return kind == "f" or isinstance(values, torch.Tensor) and values.is_floating_point()


def tables_of(name: str, value: Any) -> list[tuple[str, Any]]:
    """(name, values) of a tensor, a numeric array, or the numeric columns of a data frame; nothing for other things."""
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
