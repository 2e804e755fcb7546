"""While an iteration is executed again, nothing of it reaches the outside world.

The first execution already printed, logged and saved. Standard output and error go to the null device at the level of
file descriptors (C++ and logging handlers included), files opened for writing go to memory, those that were open before
keep their content (`openfiles`), and the calls that move or delete files do nothing (but for those of multiprocessing).
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from whynan.watch.openfiles import open_files_untouched

_WRITING = frozenset("wax+")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Descriptors 1 and 2 point to the null device; what was buffered goes out first, what comes inside is lost."""
    _flush()
    null = os.open(os.devnull, os.O_WRONLY)
    kept = []
    for fd in (1, 2):
        try:
            kept.append((fd, os.dup(fd)))
            os.dup2(null, fd)
        except OSError:  # a closed descriptor needs no silence
            pass
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_silent(stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        _flush()
        for fd, copy in kept:
            os.dup2(copy, fd)
            os.close(copy)
        os.close(null)


@contextlib.contextmanager
def no_side_effects() -> Iterator[None]:
    """Files opened for writing become buffers in memory; renaming, deleting and `torch.save` do nothing."""
    undo: list[tuple[Any, str, Any]] = []

    def patch(owner: Any, name: str, value: Any) -> None:
        if hasattr(owner, name):
            undo.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

    real = io.open
    # asked for now: the first answer is tried out with a file, which could not be removed again
    meeting_places = os.path.join(tempfile.gettempdir(), "pymp-")
    patch(builtins, "open", _readonly(real))
    patch(io, "open", _readonly(real))
    for name in ("rename", "replace", "makedirs", "symlink", "link", "truncate"):
        patch(os, name, _nothing)
    for name in ("move", "copy", "copy2", "copyfile", "copytree"):
        patch(shutil, name, _nothing)
    for owner, names in ((os, ("mkdir", "rmdir", "remove", "unlink")), (shutil, ("rmtree",))):
        for name in names:
            patch(owner, name, _for_processes(getattr(owner, name), meeting_places))
    torch = sys.modules.get("torch")
    if torch is not None:
        patch(torch, "save", _nothing)
    for module, cls, name in (
        ("torch.utils.tensorboard.writer", "FileWriter", "add_event"),
        ("tensorboardX.writer", "FileWriter", "add_event"),
        ("wandb.sdk.wandb_run", "Run", "log"),
    ):
        if module in sys.modules:
            patch(getattr(sys.modules[module], cls, None), name, _nothing)
    try:
        yield
    finally:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)


@contextlib.contextmanager
def quarantine() -> Iterator[None]:
    with open_files_untouched(), silence(), no_side_effects():  # silence holds copies of descriptors of its own
        yield


class _Silent:
    """A stream of the user's that takes what is written to it and keeps it to itself."""

    def __init__(self, stream: Any) -> None:
        self._whynan_stream = stream

    def write(self, text: str) -> int:
        return len(text)

    def writelines(self, lines: Any) -> None:
        for _ in lines:
            pass

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whynan_stream, name)


def _silent(stream: Any) -> Any:
    """The stream itself where it ends at a silenced descriptor; else (a notebook's, a tee) one that swallows."""
    return stream if stream is None or type(stream) is io.TextIOWrapper else _Silent(stream)


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _for_processes(real: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    """Does nothing but in the folders in which multiprocessing meets: workers of a DataLoader are to start."""

    def guarded(path: Any, *args: Any, **kwargs: Any) -> Any:
        return real(path, *args, **kwargs) if isinstance(path, str) and path.startswith(prefix) else None

    return guarded


def _readonly(real: Callable[..., Any]) -> Callable[..., Any]:
    def open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:  # noqa: A001
        if not isinstance(file, int) and isinstance(mode, str) and _WRITING & set(mode):
            return io.BytesIO() if "b" in mode else io.StringIO()
        return real(file, mode, *args, **kwargs)

    return open


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            if stream is not None:
                stream.flush()
