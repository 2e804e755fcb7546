"""One line on stderr that says what whynan is doing, while the reader waits.

On a terminal the line is rewritten in place and removed at the end; in a log it is one plain line per stage. It is
written to a duplicate of the descriptor, since standard error is silenced while iterations are executed again.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time


class Progress:
    """Use as a context manager; `stage` says what begins now."""

    def __init__(self, enabled: bool = True) -> None:
        self._fd: int | None = None
        self._terminal = False
        self._width = 0
        self._begun = time.monotonic()
        self._enabled = enabled

    def __enter__(self) -> Progress:
        if self._enabled and sys.stderr is not None:
            try:
                self._fd = os.dup(sys.stderr.fileno())
                self._terminal = os.isatty(self._fd)
            except (OSError, ValueError, AttributeError):  # a stream without a descriptor, as in a notebook
                self._fd = None
        return self

    def __exit__(self, *exc: object) -> None:
        if self._fd is not None:
            self._clear()
            os.close(self._fd)
            self._fd = None

    def stage(self, text: str) -> None:
        """Say that `text` ("looking for the cause") begins."""
        if self._fd is None:
            return
        if self._terminal:
            self._clear()
            line = f"whynan: {text} ... ({time.monotonic() - self._begun:.0f} s)"
            self._width = len(line)
            self._write(line)
        else:
            self._write(f"whynan: {text} ...\n")

    def _clear(self) -> None:
        if self._terminal and self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _write(self, text: str) -> None:
        assert self._fd is not None
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode())
