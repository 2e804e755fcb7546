"""What lies in a case folder beside the report: names of the files, and the README that explains them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import strict_json

TENSORS = "tensors"  # everything that holds values of the user's; may be deleted before a case is shared
README, HISTORY, ENVIRONMENT, ABSENT = "README.txt", "history.json", "environment.json", "absent.json"
HISTORY_SCHEMA = "whynan.history/1"

_README = """\
A failure recorded by whynan ({name}). Look at it with: whynan show <this folder>

report.json, report.html   what was found; statistics of tensors, never their elements
history.json               losses, norms and learning rates, step by step
environment.json           versions and settings
source/                    the script and those of your files that the report names
tensors/slice.*            the ops that lead to the bad value, and the numbers they began with: for
                           `whynan replay` (is it born on this machine too?) and `whynan shrink` (a small script)
tensors/batch.*, state.*   the batch, and weights, buffers, optimizer and random state before the failing step
{absent}
Before you share it: delete tensors/ if your data or weights are private, and source/ if your code is.
Files are JSON, text and safetensors; none of them holds code that is run when it is read.
"""


def readme(name: str, absent: list[str]) -> str:
    """The text of README.txt. `absent` are sentences about what was left out."""
    return _README.format(name=name, absent="".join(f"Left out: {what}\n" for what in absent))


def write_text(path: Path, text: str) -> None:
    """Write a text file by descriptor: in a re-run the program's own `open` may be a harmless one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        data = text.encode("utf-8", errors="replace")
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def absent_from(folder: Path) -> list[str]:
    """What a case lacks and why, in sentences; nothing where that was not noted."""
    found = _json(folder / ABSENT)
    return [what for what in found if isinstance(what, str)] if isinstance(found, list) else []


def full_history(folder: Path) -> dict[str, list[Any]] | None:
    """The series of history.json, which are longer than those of the report. None where there are none."""
    found = _json(folder / HISTORY)
    series = found.get("series") if isinstance(found, dict) and found.get("schema") == HISTORY_SCHEMA else None
    if not isinstance(series, dict) or not all(isinstance(values, list) for values in series.values()):
        return None
    return {name: [strict_json.WORDS.get(v, v) if isinstance(v, str) else v for v in series[name]] for name in series}


def _json(path: Path) -> Any:
    try:
        return strict_json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
