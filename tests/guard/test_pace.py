"""Ranks whose paces differ for a while still have states in common."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace
from typing import Any

import pytest

from whynan.guard.ranks import pace as module
from whynan.guard.ranks.pace import FEWEST, MOST, Pace
from whynan.watch.recorder import RECENT


def taken(pace: Pace, record: Any, iterations: int) -> list[int]:
    return [0, *(i + 1 for i in range(iterations) if pace.due(record, i))]


@pytest.mark.parametrize("iterations", range(1, 200, 7))
def test_the_latest_of_neighbouring_paces_meet(iterations: int) -> None:
    record = SimpleNamespace(share=0.01)
    paces = [4, 8, 16, 32]
    for slower, faster in itertools.product(paces, paces):
        if slower in (faster, 2 * faster):
            one, other = Pace(0.01), Pace(0.01)
            one.every, other.every = slower, faster
            latest = taken(other, record, iterations)[-RECENT:]
            assert set(taken(one, record, iterations)) & set(latest)
    assert record.share == 0.0  # no snapshots at its own pace


@pytest.mark.parametrize("seconds, ends", [(0.0, FEWEST), (10.0, MOST)])
def test_it_goes_where_a_snapshot_costs_its_share(seconds: float, ends: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 3.0)
    fake = SimpleNamespace(monotonic=lambda: next(clock), thread_time=time.thread_time)
    monkeypatch.setattr(module, "time", fake)
    pace, seen = Pace(0.01), []
    for number in range(8):
        newest = SimpleNamespace(index=number * 32, seconds=seconds)
        before = pace.every
        pace.changes(SimpleNamespace(snapshots=[newest]))  # type: ignore[arg-type]
        seen.append(pace.every / before)
    assert pace.every == ends and set(seen) <= {0.5, 1.0, 2.0}
