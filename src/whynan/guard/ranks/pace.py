"""Snapshots at the same iterations on every rank, without asking for each.

Each rank would pace itself by its own clock, and there would be no state that all can go back to. Here snapshots are
taken at multiples of a power of two. Rank 0 changes it by what a snapshot costs there, says so, and gives the others
time to hear it. As every rank keeps its latest four snapshots, there are some in common meanwhile too.
"""

from __future__ import annotations

import time

from whynan.watch.recorder import Recorder

FEWEST, FIRST, MOST = 4, 8, 32  # iterations; the tape reaches back 40
CALM = 2.0  # seconds between two changes


class Pace:
    """`share`: of the thread's CPU time that snapshots may take."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.every = FIRST
        self._since = (-1, 0.0)  # iteration and time of the thread at the latest snapshot
        self._changed = time.monotonic()

    def due(self, record: Recorder, index: int) -> bool:
        """After iteration `index`: does the next one begin with a snapshot?"""
        record.share = 0.0  # not at its own pace
        return (index + 1) % self.every == 0

    def changes(self, record: Recorder) -> bool:
        """Rank 0 asks: is it time for another pace? A factor of two at most."""
        newest, (before, then) = record.snapshots[-1], self._since
        if newest.index == before:
            return False
        now = time.thread_time()
        self._since = newest.index, now
        if before < 0 or newest.index < before or time.monotonic() - self._changed < CALM:
            return False
        wanted = newest.seconds / max(self.share * (now - then) / (newest.index - before), 1e-9)
        if wanted > self.every and self.every < MOST:
            self.every *= 2
        elif wanted < self.every / 4 and self.every > FEWEST:
            self.every //= 2
        else:
            return False
        self._changed = time.monotonic()
        return True
