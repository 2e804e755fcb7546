"""What whynan is doing while the reader waits, on stderr.

On a terminal a bar that fills as the batches of a stage go by, or as the time allotted to it runs out, and that is gone
at the end; in a log one plain line for each stage. It is written to a duplicate of the descriptor, since standard error
is silenced while iterations are executed again.
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

    def stage(self, text: str, seconds: float | None = None, *, log: bool = True, batches: int | None = None) -> None:
        """Say that `text` ("looking for the cause") begins, and may take up to `seconds`, or has so many `batches`.

        `log=False` leaves the stage out where there is no terminal to wait at.
        """
        bars, stream = self._bars, self._stream
        if bars is not None:
            self._quietly(lambda: _next_task(bars, text, seconds, batches))
        elif stream is not None and log:
            many = f" ({batches:,} batches)" if batches else ""
            self._quietly(lambda: print(f"whynan: {text}{many} ...", file=stream, flush=True))

    def advance(self) -> None:
        """One more batch of the stage is done."""
        bars = self._bars
        if bars is not None:
            self._quietly(lambda: bars.update(bars.task_ids[-1], advance=1))

    @staticmethod
    def _quietly(act: Callable[[], Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone
            act()


def _next_task(bars: Bars, text: str, seconds: float | None, batches: int | None) -> None:
    for task in bars.task_ids:
        bars.remove_task(task)
    limit = f"of at most {seconds:.0f} s" if seconds else ""
    bars.add_task(text, total=batches or seconds, limit=limit, batches=batches)


def _bars(stream: IO[str]) -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, Task, TextColumn
    from rich.progress import Progress as Bars
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    class Allotted(BarColumn):
        """Fills with the batches that are done, else with the time that has passed of what the stage may take."""

        def render(self, task: Task) -> ProgressBar:
            done = task.completed if task.fields["batches"] else task.elapsed or 0.0
            passed = min(done, task.total or 0.0)
            return ProgressBar(total=task.total, completed=passed, width=24, pulse=task.total is None)

    class Passed(TextColumn):
        def render(self, task: Task) -> Text:
            total = f" of {task.fields['batches']:,}" if task.fields["batches"] else ""
            batches = f"{task.completed:,.0f}{total} batches, " if task.completed or total else ""
            limit = "" if batches else task.fields["limit"]
            return Text(f"{batches}{task.elapsed or 0.0:.0f} s {limit}", style="dim")

    console = Console(file=stream, force_terminal=True, force_jupyter=False, highlight=False, markup=False, emoji=False)
    columns = (
        TextColumn("whynan: {task.description}", markup=False),
        Allotted(),
        Passed(""),
        SpinnerColumn("line", finished_text=" "),
    )
    return Bars(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
