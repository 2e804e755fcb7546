"""What is run in a trial, and a stand-in for its folder: links to everything, copies of what is small or patched."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from whynan.remedy.edits import apply_patch, patched_path, read_text
from whynan.remedy.probe import Probe, moved_line, probed

SMALL, ALTOGETHER = 256 * 1024, 32 * 1024 * 1024
"""Files of up to so many bytes are copied, up to so many in all: a program may open them for writing in any way."""
MOST_ENTRIES = 4000
"""Files and folders that are looked at one by one; beyond that, whole folders are linked."""
LINKED = frozenset("node_modules __pycache__ site-packages whynan-cases".split())


@dataclass(frozen=True)
class Script:
    """What is run: a script with its arguments, in a working directory. `module`: the name given to `-m`, if any."""

    path: Path
    argv: tuple[str, ...] = ()
    cwd: Path = field(default_factory=Path.cwd)
    module: str | None = None

    @classmethod
    def of(cls, kind: str, name: str, argv: tuple[str, ...], cwd: Path) -> Script | None:
        """What `whynan run name` (kind "script") or `whynan run -m name` ("module") runs; None if it has no source."""
        if kind == "module":
            return cls.of_module(name, argv, cwd)
        path = cwd / name
        path = path / "__main__.py" if path.is_dir() else path
        return cls(path, argv, cwd) if path.suffix != ".pyc" and path.is_file() else None

    @classmethod
    def of_module(cls, name: str, argv: tuple[str, ...], cwd: Path) -> Script | None:
        """What `python -m name` runs: the module's file, or the `__main__.py` of a package. None without a source."""
        try:
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.submodule_search_locations is not None:
                spec = importlib.util.find_spec(f"{name}.__main__")
        except (ImportError, AttributeError, ValueError):
            return None
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        return cls(Path(spec.origin), argv, cwd, name)

    @property
    def root(self) -> Path:
        """What diffs are relative to: the working directory if the script lies below it; else the script's folder.

        For a module, the folder that holds its outermost package.
        """
        cwd, path = self.cwd.resolve(), self.path.resolve()
        if path.is_relative_to(cwd):
            return cwd
        folder = path.parent
        while self.module and (folder / "__init__.py").is_file():
            folder = folder.parent
        return folder


def mirror(script: Script, patch: str | None, root: Path, probe: Probe | None = None) -> tuple[Path, Path]:
    """A stand-in for the script's folder and the working directory; returns (script, cwd) in it.

    Folders are real, files are links or, where they are small or patched, copies. What is written goes to the stand-in
    (see `confinement`). A folder with a large data set costs nothing.
    """
    top, cwd = script.root, script.cwd.resolve()
    inside = stand_in(root)
    changed: dict[Path, bytes] = {}
    if patch:
        target = (top / patched_path(patch)).resolve()
        before, encoding = read_text(target)
        changed[target] = apply_patch(before, patch).encode(encoding)
    if probe:
        target = (top / probe.file).resolve()
        before, encoding = read_text(target)
        after = changed[target].decode(encoding) if target in changed else before
        changed[target] = (probed(after, moved_line(before, after, probe.line)) or after).encode(encoding)
    wanted = {script.path.resolve(), *changed}
    _Copy(inside).folder(top, inside, {p for p in wanted if p.is_relative_to(top)})
    for target, text in changed.items():
        (inside / target.relative_to(top)).write_bytes(text)
    place = inside / script.path.resolve().relative_to(top)
    if cwd.is_relative_to(top):
        return place, inside / cwd.relative_to(top)
    elsewhere = root / "cwd"
    _Copy(elsewhere).folder(cwd, elsewhere, set())
    return place, elsewhere


def stand_in(root: Path) -> Path:
    """Where below the trial's folder the stand-in for `Script.root` is."""
    return root / "work"


class _Copy:
    """One stand-in; counts what it costs."""

    def __init__(self, target: Path) -> None:
        self.entries, self.size = 0, 0

    def folder(self, folder: Path, copy: Path, real: set[Path]) -> None:
        copy.mkdir(parents=True)
        for entry, is_folder, size in _entries(folder):
            self.entries += 1
            below = {p for p in real if p.is_relative_to(entry)}
            if is_folder and (below or (self.entries < MOST_ENTRIES and not _left_alone(entry))):
                self.folder(entry, copy / entry.name, below)
            elif not is_folder and (entry.resolve() in real or self.small(size)):
                with contextlib.suppress(OSError):
                    shutil.copy2(entry, copy / entry.name)
            else:
                with contextlib.suppress(OSError):
                    (copy / entry.name).symlink_to(entry.resolve())

    def small(self, size: int) -> bool:
        fits = size <= SMALL and self.size + size <= ALTOGETHER
        self.size += size if fits else 0
        return fits


def _left_alone(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in LINKED or (folder / "pyvenv.cfg").exists()


def _entries(folder: Path) -> Iterator[tuple[Path, bool, int]]:
    """(path, is it a folder, bytes); links to folders count as files, special files are left out."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in sorted(found, key=lambda e: e.name):
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path), True, 0
                elif entry.is_file() or entry.is_dir():
                    linked = entry.is_symlink() and entry.is_dir()
                    yield Path(entry.path), False, SMALL + 1 if linked else entry.stat().st_size
