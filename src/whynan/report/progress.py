"""What whynan is doing while the reader waits, on stderr.

On a terminal a bar that fills as the time allotted to a stage runs out, and that is gone at the end; in a log one plain
line for each stage. It is written to a duplicate of the descriptor, since standard error is silenced while iterations
are executed again.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


class Progress:
    """Use as a context manager; `stage` says what begins now. Never raises: telling must not cost the answer."""

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled
        self._stream: IO[str] | None = None
        self._bars: Bars | None = None

    def __enter__(self) -> Progress:
        if self._enabled and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # no descriptor, as in a notebook
                self._stream = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace")
        if self._stream is not None and self._stream.isatty() and os.environ.get("TERM") != "dumb":
            self._bars = _bars(self._stream)
            self._quietly(self._bars.start)
        return self

    def __exit__(self, *exc: object) -> None:
        bars, self._bars = self._bars, None
        if bars is not None:
            self._quietly(bars.stop)
        stream, self._stream = self._stream, None
        if stream is not None:
            self._quietly(stream.close)

    def stage(self, text: str, seconds: float | None = None, *, log: bool = True) -> None:
        """Say that `text` ("looking for the cause") begins, and may take up to `seconds`.

        `log=False` leaves the stage out where there is no terminal to wait at.
        """
        bars, stream = self._bars, self._stream
        if bars is not None:
            self._quietly(lambda: _next_task(bars, text, seconds))
        elif stream is not None and log:
            self._quietly(lambda: print(f"whynan: {text} ...", file=stream, flush=True))

    @staticmethod
    def _quietly(act: Callable[[], Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone
            act()


def _next_task(bars: Bars, text: str, seconds: float | None) -> None:
    for task in bars.task_ids:
        bars.remove_task(task)
    bars.add_task(text, total=seconds, limit=f"of at most {seconds:.0f} s" if seconds else "")


def _bars(stream: IO[str]) -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, Task, TextColumn
    from rich.progress import Progress as Bars
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    class Allotted(BarColumn):
        """Fills with the time that has passed of what the stage may take."""

        def render(self, task: Task) -> ProgressBar:
            passed = min(task.elapsed or 0.0, task.total or 0.0)
            return ProgressBar(total=task.total, completed=passed, width=24, pulse=task.total is None)

    class Passed(TextColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.elapsed or 0.0:.0f} s {task.fields['limit']}", style="dim")

    console = Console(file=stream, force_terminal=True, force_jupyter=False, highlight=False, markup=False, emoji=False)
    columns = (
        TextColumn("whynan: {task.description}", markup=False),
        Allotted(),
        Passed(""),
        SpinnerColumn("line", finished_text=" "),
    )
    return Bars(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
