"""Files that the program holds open for writing receive nothing while an iteration is executed again.

A log that was opened before the loop would otherwise get the lines of every re-execution. Each descriptor of such a
file is pointed at a file in memory, at the same position, and back afterwards: whoever holds it, a `csv.writer`, a
`logging` handler or a C library, need not be known. Python's own buffers are written out on both sides of the change.

Regular files only: pipes and sockets connect to processes that wait for an answer. A file open for reading and
writing is replaced by a copy, and only where a python file object holds it: a database library may have locks on it,
which closing a descriptor would drop.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import io
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator

LARGEST_COPY = 64 << 20  # bytes of a file open for reading and writing; a larger one is left alone
_HANDOVER = 0.02  # seconds for threads that write what the program handed them (a queued log handler)
_FOLDERS = ("/proc/self/fd", "/dev/fd")


@contextlib.contextmanager
def open_files_untouched() -> Iterator[None]:
    """What is written to files that are open now is lost."""
    chosen = _writable()
    if not chosen:
        yield
        return
    held = _held_by_python()
    _drain()
    replaced: list[tuple[int, int]] = []
    for fd, readable in chosen:
        if readable and fd not in held:
            continue
        with contextlib.suppress(OSError):
            stand_in = _stand_in(fd, readable)
            replaced.append((fd, os.dup(fd)))
            os.dup2(stand_in, fd, inheritable=os.get_inheritable(fd))
            os.close(stand_in)
    try:
        yield
    finally:
        _flush(_files())  # into the stand-ins
        for fd, original in replaced:
            with contextlib.suppress(OSError):
                os.dup2(original, fd, inheritable=os.get_inheritable(fd))
                os.close(original)


def _writable() -> list[tuple[int, bool]]:
    """(descriptor, whether it is readable too) of the regular files that are open for writing, beyond the standard
    streams."""
    folder = next((name for name in _FOLDERS if os.path.isdir(name)), None)
    found = []
    for name in os.listdir(folder) if folder else ():
        fd = int(name)
        with contextlib.suppress(OSError):
            mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
            if fd > 2 and mode != os.O_RDONLY and stat.S_ISREG(os.fstat(fd).st_mode):
                found.append((fd, mode == os.O_RDWR))
    return found


def _stand_in(fd: int, readable: bool) -> int:
    """Descriptor of a nameless file at the same position as `fd`; with the same content where it can be read."""
    size, position = os.fstat(fd).st_size, os.lseek(fd, 0, os.SEEK_CUR)
    if readable and size > LARGEST_COPY:
        raise OSError("too large to copy")
    with tempfile.TemporaryFile(buffering=0) as file:
        copy = os.dup(file.fileno())
    os.ftruncate(copy, size)
    for start in range(0, size if readable else 0, 1 << 20):
        os.pwrite(copy, os.pread(fd, 1 << 20, start), start)
    os.lseek(copy, position, os.SEEK_SET)
    return copy


def _files() -> list[io.IOBase]:
    kinds = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom, io.FileIO)
    return [thing for thing in gc.get_objects() if issubclass(type(thing), kinds)]  # isinstance asks lazy proxies


def _held_by_python() -> set[int]:
    held = set()
    for file in _files():
        with contextlib.suppress(OSError, ValueError):
            held.add(file.fileno())
    return held


def _drain() -> None:
    """Everything that was written before is on its way to the file: queues of writer threads first, then buffers."""
    tensorboard = sys.modules.get("torch.utils.tensorboard.writer") or sys.modules.get("tensorboardX.writer")
    if tensorboard is not None:
        writers = [thing for thing in gc.get_objects() if type(thing) is tensorboard.SummaryWriter]
        for writer in writers:
            with contextlib.suppress(Exception):
                writer.flush()
    if len(sys._current_frames()) > 1:
        time.sleep(_HANDOVER)
    _flush(_files())


def _flush(files: list[io.IOBase]) -> None:
    for kind in (io.TextIOWrapper, io.BufferedWriter | io.BufferedRandom):  # text goes into the buffer beneath it
        for file in files:
            with contextlib.suppress(OSError, ValueError):
                if isinstance(file, kind) and not file.closed and file.writable():
                    file.flush()
