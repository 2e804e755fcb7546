"""A thread that listens for alarms of other processes, so that the training loop need not ask.

It also shows that this process is alive, and ends it when a re-executed iteration never comes back from a collective
operation: a message and an end are better than a hang.
"""

from __future__ import annotations

import atexit
import os
import threading
import time

from whynan.guard.ranks.channel import Channel

HANGS = 60.0  # seconds in one re-executed iteration, beyond 20 times the longest one so far


class Ear(threading.Thread):
    """`position`: the iteration that the loop is in, written by it before it looks at `stop`."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(name="whynan-ear", daemon=True)
        self.channel = channel
        self.round = 0  # of the alarms that were dealt with
        self.position = 0
        self.stop = False  # somebody raised an alarm: meet at the end of an iteration
        self.left: int | None = None  # a rank that explains by itself, and will not come to any collective again
        self.every: int | None = None  # iterations between two snapshots, as rank 0 says
        self.busy: float | None = None  # since when the main thread is in a re-executed iteration
        self.longest = 0.0  # seconds of one iteration
        self._said = False
        self._lock = threading.Lock()
        self._beats = 0
        self._interval = max(0.1, channel.world / 1000)
        self._process = os.getpid()
        self._stderr = os.dup(2)  # whatever is silenced meanwhile
        self._closed = threading.Event()
        atexit.register(self.close)  # a thread inside of the store when the interpreter ends would abort the process
        self.start()

    def close(self) -> None:
        self._closed.set()
        if os.getpid() == self._process:
            self.join(2.0)

    def run(self) -> None:
        while not self._closed.wait(self._interval):
            try:
                self._listen()
            except Exception:  # the store is gone: the run is over, or will be
                return

    def _listen(self) -> None:
        channel = self.channel
        self._beats += 1
        channel.tell(f"beat/{channel.rank}", count=self._beats)
        if not self.stop and channel.told(f"{self.round}/alarm"):
            self.raised()
        if self.left is None and channel.told("alone"):
            self.left = channel.hear("alone", 1.0)["rank"]
        if channel.rank and self._beats % 5 == 1 and channel.told("every"):
            self.every = channel.hear("every", 1.0)["iterations"]
        if self.busy is not None and time.monotonic() - self.busy > HANGS + 20 * self.longest:
            self._end()

    def raised(self, at: int | None = None) -> None:
        """There is an alarm. Say once where this process is: at iteration `at`, or wherever it is now."""
        with self._lock:
            self.stop = True
            if self._said:
                return
            self._said = True
            where = self.position if at is None else at
        self.channel.tell(f"{self.round}/at/{self.channel.rank}", iteration=where)

    def adjourned(self, position: int) -> None:
        with self._lock:
            self.round += 1
            self.position, self.stop, self._said, self.busy = position, False, False, None

    def _end(self) -> None:
        text = (
            f"whynan: rank {self.channel.rank} ends: an iteration that is executed again does not come back from a "
            "collective operation, because another rank did not come to it.\n"
        )
        os.write(self._stderr, text.encode())
        os._exit(3)
