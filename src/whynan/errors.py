"""What whynan raises.

The command line catches `WhynanError` once, prints it without a traceback, and exits with its `exit_status`.

    WhynanError                 status 2
    ├── UsageError              2   a command line, a setting or an argument that cannot be meant
    ├── CaseError               2   a case folder or a report that cannot be read
    ├── ReplayError             1   the failing step could not be put back or executed again
    ├── InternalError           1   whynan itself is at fault; the message asks to report it
    └── NonFiniteError          3   whynan.watch() and whynan.guard(): training cannot go on; it carries the report

Under `whynan run` something non-finite is an answer, not an error: it has a report, and exit status 3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class WhynanError(Exception):
    """Every error that whynan raises on purpose; the message is whole sentences, ready to be shown."""

    exit_status = 2


class UsageError(WhynanError):
    """Something that the user wrote cannot be meant. The message shows the value and what would be valid."""


class CaseError(WhynanError):
    """A case folder or a report cannot be read. The message names the file and the field."""


class ReplayError(WhynanError):
    """A step could not be put back or executed again. Callers degrade and say so in the report's notes."""

    exit_status = 1


class InternalError(WhynanError):
    """A promise inside whynan did not hold."""

    exit_status = 1

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} This is a defect of whynan: please report it, with the command that led here.")


class NonFiniteError(WhynanError):
    """Training went non-finite and was explained. `report` is the `Report`, `case` its folder (None: not written)."""

    exit_status = 3

    def __init__(self, what: str, report: Any = None, case: Path | None = None) -> None:
        super().__init__(what)
        self.report = report
        self.case = case


for _error in (WhynanError, UsageError, CaseError, ReplayError, InternalError, NonFiniteError):
    _error.__module__ = "whynan"  # tracebacks show the name that a user can import
del _error
