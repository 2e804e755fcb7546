"""Files that a program names and that hold values which are no numbers: which file, which lines, rows and columns.

Only files that are named in the program or on its command line are opened, up to `LARGEST` bytes each, for reading.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whynan.remedy.mirror import Script
from whynan.remedy.source import Source

LARGEST = 64 * 1024 * 1024
PATIENCE = 3.0  # seconds for all files together
MOST_FILES = 12
NUMERIC = 0.5  # share of a column's first cells that have to be numbers before the others count as missing
SAMPLE = 1000  # cells of a column that decide about it
SHOWN = 4


@dataclass(frozen=True)
class BadFile:
    """`words`: "lines 14, 98 of column humidity" or "`fc.weight`, 3 of 100 values"; `look`: a command that shows it."""

    path: str
    words: str
    look: str
    checkpoint: bool = False


def bad_files(script: Script, sources: list[Source]) -> list[BadFile]:
    """The damaged files among those that the program names."""
    deadline = time.monotonic() + PATIENCE
    found: list[BadFile] = []
    for path in itertools.islice(named_files(script, sources), MOST_FILES):
        if time.monotonic() > deadline:
            break
        with contextlib.suppress(Exception):  # not what its name says: then it is not for us to judge
            if path.stat().st_size <= LARGEST:
                found += READERS[path.suffix.lower()](path, _shown(path, script))
    return found


def named_files(script: Script, sources: list[Source]) -> Iterator[Path]:
    """Existing files whose names stand in the program, or were given as arguments, each once."""
    names = [a.partition("=")[2] or a for a in script.argv]
    for source in sources:
        names += [n.value for n in ast.walk(source.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    names = list(dict.fromkeys(n for n in names if 0 < len(n) < 400 and "\n" not in n))
    bases = [script.cwd, script.path.parent]
    bases += [b / n for n in names if "." not in n for b in bases if _exists(b / n, folder=True)]
    seen: set[Path] = set()
    for name in names:
        if Path(name).suffix.lower() in READERS:
            for base in bases:
                path = base / name
                if _exists(path) and path.resolve() not in seen:
                    seen.add(path.resolve())
                    yield path


def _exists(path: Path, folder: bool = False) -> bool:
    try:
        return path.is_dir() if folder else path.is_file()
    except (OSError, ValueError):
        return False


def _shown(path: Path, script: Script) -> str:
    return path.relative_to(script.cwd).as_posix() if path.is_relative_to(script.cwd) else str(path)


# one reader for each kind of file ------------------------------------------------------------------------------------


def _table(path: Path, name: str) -> Iterator[BadFile]:
    """Cells of a numeric column that are empty, or words, or not finite. Lines are counted from 1."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        first = file.readline()
        file.seek(0)
        separator = max(",;\t", key=first.count)
        if not first.count(separator):
            return
        rows = [(number, row) for number, row in enumerate(csv.reader(file, delimiter=separator), 1) if row]
    header = rows[0][1] if rows and not any(_number(cell) is not None for cell in rows[0][1]) else None
    body = rows[1:] if header else rows
    for column in range(len(rows[0][1]) if rows else 0):
        cells = [(number, row[column]) for number, row in body if column < len(row)]
        sample = cells[:SAMPLE]
        if sum(_number(cell) is not None for _, cell in sample) < NUMERIC * max(1, len(sample)):
            continue
        bad = [number for number, cell in cells if (value := _number(cell)) is None or not math.isfinite(value)]
        if bad:
            title = f"column {header[column].strip()}" if header else f"column {column}"
            lines = ", ".join(map(str, bad[:SHOWN])) + (", ..." if len(bad) > SHOWN else "")
            words = f"line{'s' if len(bad) > 1 else ''} {lines} of {title} hold no number ({len(bad)} of {len(cells)})"
            yield BadFile(name, words, f"sed -n '{bad[0]}p' {name}")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _array(path: Path, name: str) -> Iterator[BadFile]:
    import numpy as np

    loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    arrays = {"": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    for key, array in arrays.items():
        if array.dtype.kind not in "fc":
            continue
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            at = f"np.load('{name}')" + (f"['{key}']" if key else "")
            first = ", ".join(str(tuple(int(i) for i in index)) for index in bad[:SHOWN])
            words = f"{key and f'array {key}: '}{len(bad)} of {array.size} values are not finite, first at {first}"
            yield BadFile(name, words, f'python -c "import numpy as np; print(np.argwhere(~np.isfinite({at})))"')


def _checkpoint(path: Path, name: str) -> Iterator[BadFile]:
    torch = sys.modules.get("torch")
    if torch is None:
        return
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    for key, tensor in _tensors(torch, loaded):
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            words = f"`{key}`: {bad} of {tensor.numel()} values are not finite"
            yield BadFile(name, words, f"python -c \"import torch; print(torch.load('{name}'){_lookup(key)})\"", True)


def _lookup(key: str) -> str:
    return f"['{key}']" if key else ""


def _tensors(torch: Any, value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if torch.is_tensor(value):
        if value.is_floating_point() or value.is_complex():
            yield name, value
    elif isinstance(value, dict) and depth < 5:
        for key, item in value.items():
            yield from _tensors(torch, item, f"{name}.{key}" if name else str(key), depth + 1)


READERS: dict[str, Callable[[Path, str], Iterator[BadFile]]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), _table),
    **dict.fromkeys((".npy", ".npz"), _array),
    **dict.fromkeys((".pt", ".pth", ".ckpt"), _checkpoint),
}
