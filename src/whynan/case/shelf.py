"""The cases in a folder: all of them, newest first, and the one that a few letters mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..errors import CaseError
from .contents import size_of
from .facts import Report
from .folder import REPORT, Case, read_case

LAST = "last"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One case on the shelf. `problem` says why a folder could not be read; then there is no report."""

    path: Path
    time: datetime | None
    size: int  # bytes
    report: Report | None = None
    problem: str | None = None

    @property
    def place(self) -> str | None:
        """file:line of the birth."""
        birth = self.report.birth if self.report else None
        return f"{birth.file}:{birth.line}" if birth and birth.file and birth.line else None

    @property
    def cause(self) -> str | None:
        causes = self.report.causes if self.report else ()
        return causes[0].class_ if causes else None

    @property
    def cure(self) -> str | None:
        """The class of the first verified remedy."""
        remedies = self.report.remedies if self.report else ()
        return next((remedy.class_ for remedy in remedies if remedy.verified), None)


def folders(base: Path) -> list[Path]:
    """The case folders in `base`, newest first. Names begin with the time, so they sort by it."""
    if not base.is_dir():
        return []
    found = [path for path in base.iterdir() if not path.name.startswith(".") and (path / REPORT).is_file()]
    return sorted(found, key=lambda path: (path.name[:15], _number(path.name), path.name), reverse=True)


def entries(base: Path) -> list[Entry]:
    """Every case in `base` with what a list shows of it, newest first."""
    return [_entry(path) for path in folders(base)]


def find(text: str, base: Path) -> Path:
    """The path that CASE means: a folder, a report.json, `last`, or the beginning of a name (or of what follows the
    time) in `base`. CaseError where there is none, or more than one."""
    if os.path.exists(text):
        return Path(text)
    known = folders(base)
    if text == LAST:
        if known:
            return known[0]
        raise CaseError(f"There is no case in {base}.")
    if os.sep not in text:
        meant = [path for path in known if path.name.startswith(text)]
        meant = meant or [path for path in known if path.name[16:].startswith(text)]
        if len(meant) == 1:
            return meant[0]
        if meant:
            several = ", ".join(path.name for path in meant[:4])
            raise CaseError(
                f"{text!r} could be {len(meant)} cases in {base}: {several}{' ...' if len(meant) > 4 else ''}."
            )
    names = ", ".join(path.name for path in known[:4])
    hint = f" In {base} there are: {names}." if known else f" In {base} there is none."
    raise CaseError(f"There is no case {text!r}. A case is a folder with a {REPORT}, or `{LAST}`.{hint}")


def open_case(text: str, base: Path) -> Case:
    """The case that CASE means, read."""
    return read_case(find(text, base))


def _entry(path: Path) -> Entry:
    try:
        time = datetime.strptime(path.name[:15], "%Y%m%d-%H%M%S")
    except ValueError:
        time = None
    try:
        return Entry(path=path, time=time, size=size_of(path), report=read_case(path).report)
    except (CaseError, OSError, RecursionError) as error:
        return Entry(path=path, time=time, size=0, problem=str(error))


def _number(name: str) -> int:
    """The suffix of a second case of the same second: 2 of ...-train-2, else 1."""
    tail = name.rpartition("-")[2]
    return int(tail) if tail.isdecimal() and len(tail) < 6 else 1
