"""The two ways in which whynan leaves the user's code, both invisible to `except Exception`."""

from __future__ import annotations


class Rewind(BaseException):
    """Unwinds the body of the user's loop, to execute the iteration again. Never leaves that loop."""

    def __init__(self, run: object) -> None:
        super().__init__("whynan re-executes this iteration")
        self.run = run


class Stop(SystemExit):
    """Ends the user's program after the explanation, as `sys.exit(3)` would: `finally` blocks and atexit run."""

    def __init__(self) -> None:
        super().__init__(3)
