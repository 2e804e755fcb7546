"""Keep what a trial does to files inside of the trial's folder. A file of its own: it imports nothing of whynan.

The copy of the program (`trials.mirror`) catches relative paths. What goes elsewhere, by absolute paths or through
links, is caught twice: python's own functions are `redirect`ed to a shadow below the trial's folder, where they are
found again when they are read; and on Linux the kernel refuses every other write (`lock`), those of C libraries and of
child processes included. Without Landlock (before Linux 5.13, on other systems) such writes are not caught.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import getpass
import io
import os
import shutil
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

KEPT = ("/dev", "/proc", "~/.cache", "~/.triton", "~/.nv")
"""Places that may be written to: devices, and caches that are made to be shared."""


class Redirection:
    """Where files outside of `root` go: `shadow` + their path."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self.shadow = os.path.join(self.root, ".outside")
        self.kept = tuple(os.path.realpath(os.path.expanduser(p)) for p in (self.root, *KEPT, _inductor()))
        self.gone: set[str] = set()
        self._inside = threading.local()  # this thread is in one of our own functions: they see the world as it is

    @contextlib.contextmanager
    def own(self) -> Iterator[bool]:
        """True for the program's calls, False for those that our own work leads to."""
        first = not getattr(self._inside, "own", False)
        self._inside.own = True
        try:
            yield first
        finally:
            self._inside.own = not first

    def outside(self, path: Any, follow: bool = True) -> str | None:
        """The real path, if it lies outside of what may be written to. `follow`: a link means what it points to."""
        if not isinstance(path, (str, os.PathLike)):
            return None
        name = os.fspath(path)
        if not isinstance(name, str):
            return None
        real = os.path.realpath(name) if follow else _parent_resolved(name)
        return None if real in self.kept or real.startswith(tuple(k + os.sep for k in self.kept)) else real

    def inside(self, real: str) -> str:
        return self.shadow + os.sep + real.replace(":", "").lstrip(os.sep)

    def to_write(self, path: Any, keep: bool = False, follow: bool = True) -> Any:
        """The path to write to instead. `keep`: with what the file holds so far."""
        with self.own() as asked:
            real = self.outside(path, follow) if asked else None
            if real is None:
                return path
            place = self.inside(real)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if keep and not os.path.lexists(place) and real not in self.gone and os.path.isfile(real):
                shutil.copyfile(real, place)
            self.gone.discard(real)
            return place

    def to_read(self, path: Any) -> Any:
        """The path to read from: the shadow, if something was written there."""
        with self.own() as asked:
            if not asked or not self.gone and not os.path.isdir(self.shadow):
                return path
            real = self.outside(path)
            if real is None:
                return path
            place = self.inside(real)
            return place if real in self.gone or os.path.lexists(place) else path

    def take_away(self, path: Any, remove: Any) -> None:
        """A file or folder outside is gone for the program, and stays where it is."""
        with self.own() as asked:
            real = self.outside(path, follow=False) if asked else None
            if real is None:
                remove(path)
                return
            place = self.inside(real)
            if os.path.lexists(place):
                remove(place)
            elif real in self.gone or not os.path.lexists(real):
                raise FileNotFoundError(2, "No such file or directory", os.fspath(path))
            self.gone.add(real)


def redirect(root: str) -> None:
    """Send what python code writes, moves or deletes outside of `root` to a shadow below it."""
    import torch

    where = Redirection(root)
    _redirect_opening(where)
    _redirect_folders(where)
    save = torch.save
    torch.save = lambda obj, f, *a, **k: save(obj, where.to_write(f), *a, **k)


def _redirect_opening(where: Redirection) -> None:
    opened, low, stat = builtins.open, os.open, os.stat

    def guarded(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if any(c in mode for c in "wax+"):
            return opened(where.to_write(file, keep="w" not in mode), mode, *args, **kwargs)
        return opened(where.to_read(file), mode, *args, **kwargs)

    def guarded_low(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if dir_fd is None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            path = where.to_write(path, keep=not flags & os.O_TRUNC)
        return low(path, flags, mode, dir_fd=dir_fd)

    def guarded_stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        return stat(where.to_read(path), dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    builtins.open = io.open = guarded  # type: ignore[assignment]
    os.open, os.stat = guarded_low, guarded_stat  # type: ignore[assignment]


def _redirect_folders(where: Redirection) -> None:
    mkdir, rename, replace, truncate = os.mkdir, os.rename, os.replace, os.truncate
    remove, rmdir, rmtree = os.remove, os.rmdir, shutil.rmtree

    def made(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if dir_fd is None and where.outside(path) is not None and os.path.isdir(path):
            raise FileExistsError(17, "File exists", os.fspath(path))
        mkdir(where.to_write(path) if dir_fd is None else path, mode, dir_fd=dir_fd)

    def moved(how: Any) -> Any:
        def move(source: Any, target: Any, **kwargs: Any) -> None:
            real = where.outside(source, follow=False) if not kwargs else None
            if real is None:
                how(source, where.to_write(target, follow=False) if not kwargs else target, **kwargs)
                return
            how(where.to_write(source, keep=True, follow=False), where.to_write(target, follow=False))
            where.gone.add(real)

        return move

    os.mkdir, os.rename, os.replace = made, moved(rename), moved(replace)
    os.remove = os.unlink = lambda path, **k: remove(path, **k) if k else where.take_away(path, remove)
    os.rmdir = lambda path, **k: rmdir(path, **k) if k else where.take_away(path, rmdir)
    os.truncate = lambda path, length: truncate(where.to_write(path, keep=True), length)

    def whole(path: Any, *args: Any, **kwargs: Any) -> None:
        if where.outside(path, follow=False) is None:
            rmtree(path, *args, **kwargs)
        else:
            with contextlib.suppress(FileNotFoundError):
                where.take_away(path, lambda place: rmtree(place, ignore_errors=True))

    shutil.rmtree = whole  # type: ignore[assignment]


def _parent_resolved(name: str) -> str:
    folder, last = os.path.split(name.rstrip(os.sep) or name)
    return os.path.join(os.path.realpath(folder or "."), last)


def _inductor() -> str:
    default = os.path.join(tempfile.gettempdir(), f"torchinductor_{getpass.getuser()}")
    return os.environ.get("TORCHINDUCTOR_CACHE_DIR", default)


# the kernel ----------------------------------------------------------------------------------------------------------
# linux/landlock.h: rights that change something, by the version of the interface that brought them
_WRITING = sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_FILES = 1 << 1 | _TRUNCATE
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same numbers on all architectures


def lock(root: str) -> bool:
    """Let the kernel refuse every change outside of `root` and `KEPT`, for this process and its children.

    False where it cannot: no Landlock in this kernel, or it is switched off.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = _WRITING | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rules = struct.pack("Q", rights)
    ruleset = libc.syscall(_CREATE, rules, ctypes.c_size_t(len(rules)), 0)
    if ruleset < 0:
        return False
    try:
        for place in (root, *KEPT, _inductor()):
            _allow(libc, ruleset, os.path.expanduser(place), rights)
        no_new_privileges = 38
        if libc.prctl(no_new_privileges, 1, 0, 0, 0):
            return False
        return bool(libc.syscall(_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: Any, ruleset: int, place: str, rights: int) -> None:
    try:
        folder = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(place):
        rights &= _OF_FILES
    rule = struct.pack("=Qi", rights, folder)
    libc.syscall(_ADD, ruleset, 1, rule, 0)
    os.close(folder)
