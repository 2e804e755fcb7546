"""Files and folders: finding the Python files, reading them over all cores, in a stable order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from whynan.errors import UsageError
from whynan.lint.engine import Outcome, fix_text, found_in
from whynan.lint.file import TORCH
from whynan.lint.rule import all_rules
from whynan.lint.settings import Settings

FEW = 24  # so many files are read faster than processes start
Progress = Callable[[int, int], None]


def python_files(paths: Sequence[str | os.PathLike[str]], settings: Settings) -> list[str]:
    """Python files of files and folders, each once, sorted within a folder. UsageError for a path that is not there."""
    out: dict[str, None] = {}
    for given in paths:
        path = os.fspath(given)
        if os.path.isfile(path):
            out[path] = None
        elif os.path.isdir(path):
            out |= dict.fromkeys(_walk(path, settings))
        else:
            raise UsageError(f"{path} is neither a file nor a folder. Give Python files, or folders that have some.")
    return list(out)


def _walk(folder: str, settings: Settings) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not settings.excluded(os.path.join(base, f)))
        for name in sorted(files):
            path = os.path.normpath(os.path.join(base, name))
            if name.endswith((".py", ".pyi")) and not settings.excluded(path):
                yield path


def lint_paths(
    paths: Sequence[str | os.PathLike[str]],
    settings: Settings | None = None,
    *,
    jobs: int | None = None,
    fix: bool = False,
    progress: Progress | None = None,
) -> list[Outcome]:
    """The outcome of every file, in order. `jobs`: processes, by default one a core. `progress(done, of)` is called."""
    settings = settings or Settings()
    files = python_files(paths, settings)
    work = partial(lint_file, settings=settings, fix=fix)
    jobs = min(jobs or os.cpu_count() or 1, max(1, len(files) // FEW))
    if jobs == 1:
        return _collect(map(work, files), len(files), progress)
    # the large files first would balance better; in order, results are shown as they come
    with ProcessPoolExecutor(jobs) as pool:
        return _collect(
            pool.map(work, files, chunksize=max(1, min(32, len(files) // (8 * jobs)))), len(files), progress
        )


def _collect(outcomes: Iterator[Outcome], total: int, progress: Progress | None) -> list[Outcome]:
    found = []
    for outcome in outcomes:
        found.append(outcome)
        if progress is not None:
            progress(len(found), total)
    return found


def lint_file(path: str, settings: Settings, fix: bool = False) -> Outcome:
    """The findings in one file; a file that cannot be read or parsed is an outcome with an error."""
    try:
        data = Path(path).read_bytes()
        if b"torch" not in data:
            return Outcome(path, lines=data.count(b"\n"))
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Outcome(path, error=str(error))
    outcome = Outcome(path, lines=text.count("\n"))
    if TORCH.search(text) is None:
        return outcome
    rules = [rule for rule in all_rules().values() if settings.wants(rule, path)]
    try:
        if fix:
            after = fix_text(text, path, rules, settings=settings)
            findings = found_in(after, path, rules, settings)
            outcome = replace(outcome, before=text, fixed=after if after != text else None)
        else:
            findings = found_in(text, path, rules, settings)
    except (SyntaxError, ValueError, RecursionError) as error:
        return replace(outcome, error=_first_line(error))
    except Exception as error:  # one file that a rule cannot cope with must not end the run over all others
        kind = type(error).__name__
        return replace(outcome, error=f"a defect of whynan, please report it ({kind}: {_first_line(error)})")
    return replace(outcome, findings=tuple(finding for finding, _ in findings))


def _first_line(error: Exception) -> str:
    return re.split(r"\n", str(error) or type(error).__name__)[0]
