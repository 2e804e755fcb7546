"""The case folder: one recorded failure on disk.

    whynan-cases/20260822-141503-train/
      report.json      the report, schema whynan.report/1
      report.html      the same as a page (when the caller hands one over)
      source/...       the user's own files that the report names, so that it can be shown where they are not
      ...              whatever `fill` put there; `contents` names it

A folder appears whole or not at all: it is filled under a hidden name and renamed. Nothing is ever overwritten; a
second case of the same second gets the suffix -2. Drafts of processes that were killed are swept up by the next one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import CaseError
from . import serial, strict_json
from .facts import Report

REPORT, PAGE, SOURCE = "report.json", "report.html", "source"
_LARGEST_SOURCE = 2**20  # bytes; a larger file is data, not source


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case that was read: its report, and the folder (None for a report.json that stands alone)."""

    report: Report
    path: Path | None

    @property
    def sources(self) -> Path | None:
        """The folder with the copies of the user's files."""
        folder = self.path / SOURCE if self.path else None
        return folder if folder and folder.is_dir() else None


def dump_report(report: Report) -> str:
    """The text of report.json."""
    return strict_json.dumps(serial.to_dict(report), indent=1) + "\n"


def load_report(text: str, where: str = "the report") -> Report:
    """The report of such a text. CaseError names `where`."""
    try:
        return serial.from_dict(strict_json.loads(text))
    except ValueError as error:
        raise CaseError(f"{where} is no JSON: {error}.") from None
    except CaseError as error:
        raise CaseError(f"{where}: {error}") from None


def write_case(
    report: Report,
    base_dir: str | os.PathLike[str],
    name: str | None = None,
    *,
    page: str | None = None,
    fill: Callable[[Path], None] | None = None,
) -> Path:
    """Write a case folder below `base_dir` and return its path.

    The folder is called <time>-<name>, and `name` defaults to that of the script; `page` is the text of report.html;
    `fill` may put more files into the folder before it gets its name. OSError where the disk refuses; nothing is
    left behind then.
    """
    base = Path(base_dir)
    base.mkdir(parents=True, exist_ok=True)
    sweep(base)
    draft = base / f".draft-{os.getpid()}-{time.monotonic_ns()}"  # not mkdtemp: its mode 0700 would stay
    draft.mkdir()
    try:
        (draft / REPORT).write_text(dump_report(report), encoding="utf-8")
        if page is not None:
            (draft / PAGE).write_text(page, encoding="utf-8", errors="replace")
        for original, relative in user_files(report):
            copy = draft / SOURCE / relative
            copy.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # a source that cannot be copied is no reason to lose the case
                shutil.copyfile(original, copy)
        if fill is not None:
            fill(draft)
        return _name_it(draft, base, stamped(name or Path(report.run.script).stem))
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def sweep(base: Path) -> None:
    """Remove the drafts in `base` whose process is no more."""
    for draft in base.glob(".draft-*-*"):
        pid = draft.name.split("-")[1]
        if pid.isdecimal() and int(pid) != os.getpid() and not _alive(int(pid)):
            shutil.rmtree(draft, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's
    return True


def read_case(path: str | os.PathLike[str]) -> Case:
    """The case of a folder, or of a report.json alone. CaseError where there is none."""
    place = Path(path)
    file = place / REPORT if place.is_dir() else place
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CaseError(f"{file} is no report: it is not text.") from None
    except OSError as error:
        raise CaseError(f"{file} cannot be read: {error.strerror}. A case is a folder with a {REPORT}.") from None
    return Case(report=load_report(text, str(file)), path=file.parent if file.name == REPORT else None)


def stamped(name: str) -> str:
    """<time>-<name>, in local time: 20260822-141503-train."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:60]
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{slug or 'run'}"


def user_files(report: Report) -> Iterator[tuple[Path, Path]]:
    """(file, where it goes below source/) of the user's own files that the report names, each once."""
    named = [report.run.script]
    if report.birth:
        named += [report.birth.file or "", *(site.file for site in report.birth.stack)]
    named += [step.file or "" for step in report.path]
    script = Path(os.path.abspath(report.run.script))
    seen = set()
    for text in named:
        for file in (Path(os.path.abspath(text)), Path(os.path.abspath(script.parent / text))):  # without ".."
            if text and file.is_file() and file not in seen and _is_users(file):
                seen.add(file)
                yield file, source_name(file, script.parent)
                break


def source_name(file: Path, root: Path) -> Path:
    """Where a file is kept below source/: its path relative to the script's folder, or else its bare name."""
    return file.relative_to(root) if file.is_relative_to(root) else Path(file.name)


def _is_users(file: Path) -> bool:
    """Whether a file is the user's own: no installed package, no data."""
    paths = sysconfig.get_paths()
    installed = {paths["stdlib"], paths["purelib"], paths["platlib"], str(Path(__file__).parents[1])}
    inside = any(file.is_relative_to(folder) for folder in installed)
    return not inside and file.stat().st_size <= _LARGEST_SOURCE


def _name_it(draft: Path, base: Path, name: str) -> Path:
    for number in range(1, 10_000):
        target = base / (name if number == 1 else f"{name}-{number}")
        try:
            target.mkdir()  # a rename onto somebody's empty folder would succeed, so mkdir decides who was first
        except FileExistsError:
            continue
        return draft.rename(target)
    raise CaseError(f"{base / name} and its next 9,999 names are taken.")
