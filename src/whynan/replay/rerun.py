"""Running the program again from its start, in the same process state as the first time.

Before the user's program is loaded, the process forks once. The copy (the spare) does nothing but wait; it has the same
hash seed, the same python random state, arguments, environment and working directory, and no thread yet. When a
question can only be answered from the start, the spare forks again and that child runs the program with a `Goal`:
silently, without side effects on files, with the microscope on where the goal says. Where `fork` does not exist there
is no spare, and the report says that nothing was re-run.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from whynan.case import strict_json
from whynan.case.contents import write_text

_replace = os.replace  # a re-run takes `os.replace` away from the program


class Spare:
    """The waiting copy of this process, as the watched process sees it."""

    def __init__(self, request: int, reply: int) -> None:
        self._request, self._reply = request, reply
        self._identity = _inodes(request, reply)
        self.extras: dict[str, Any] = {}  # goes with every goal, e.g. numpy's random state at import

    def rerun(self, goal: dict[str, Any], timeout: float) -> dict[str, Any] | None:
        """Run the program again with `goal`; its answer, or None (no answer in `timeout` seconds, or no spare left)."""
        if _inodes(self._request, self._reply) != self._identity:
            return None  # the program closed our descriptors; they may belong to one of its files now
        with tempfile.TemporaryDirectory(prefix="whynan-") as folder:
            answer = Path(folder) / "answer.json"
            line = strict_json.dumps({**self.extras, **goal, "answer": str(answer)}) + "\n"
            try:
                os.write(self._request, str(len(line)).encode().ljust(12) + line.encode())
            except OSError:
                return None
            pid = self._read_number(timeout)
            if pid is None:
                return None
            if self._read_number(timeout) is None:
                _kill(pid)
                self._read_number(5.0)
            try:
                return strict_json.loads(answer.read_text())
            except (OSError, ValueError):
                return None

    def _read_number(self, timeout: float) -> int | None:
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([self._reply], [], [], left)
            if ready:
                data = os.read(self._reply, 12)
                return int(data) if data else None
        return None


def start() -> tuple[Spare | None, dict[str, Any] | None]:
    """Fork the spare. Returns (spare, None) in the program's own process and (None, goal) in each re-run of it.

    Call it before anything of the user's is imported and before any thread exists.
    """
    if not hasattr(os, "fork"):
        return None, None
    offset = _stdin_offset()
    request_read, request_write = os.pipe()
    reply_read, reply_write = os.pipe()
    middle = os.fork()
    if middle:
        os.close(request_read)
        os.close(reply_write)
        os.waitpid(middle, 0)
        return Spare(request_write, reply_read), None
    # forked twice, so that `os.wait()` in the user's program never sees the spare
    if os.fork():
        os._exit(0)
    os.close(request_write)
    os.close(reply_read)
    return None, _wait(request_read, reply_write, offset)


def answer(goal: dict[str, Any], value: dict[str, Any]) -> None:
    """In a re-run: hand the answer over and end the process at once."""
    part = goal["answer"] + ".part"
    write_text(Path(part), strict_json.dumps(value))
    _replace(part, goal["answer"])
    os._exit(0)


def _wait(request: int, reply: int, offset: int | None) -> dict[str, Any]:
    """The life of the spare: fork a child per goal; only the children return."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    kept_in = os.dup(0) if offset is not None else null
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    while True:
        head = os.read(request, 12)
        if not head:
            os._exit(0)
        size, data = int(head), b""
        while len(data) < size:
            data += os.read(request, size - len(data))
        child = os.fork()
        if child == 0:
            os.close(request)
            os.close(reply)
            os.dup2(kept_in, 0)
            if offset is not None:
                os.lseek(0, offset, os.SEEK_SET)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return strict_json.loads(data.decode())
        os.write(reply, str(child).encode().ljust(12))
        os.waitpid(child, 0)
        os.write(reply, b"0".ljust(12))


def _stdin_offset() -> int | None:
    try:
        return os.lseek(0, 0, os.SEEK_CUR)
    except OSError:
        return None


def _inodes(*descriptors: int) -> list[tuple[int, int]]:
    found = []
    for fd in descriptors:
        try:
            status = os.fstat(fd)
            found.append((status.st_dev, status.st_ino))
        except OSError:
            found.append((-1, -1))
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


__all__ = ["Spare", "answer", "start"]
